import { setMaxListeners } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Socket } from 'node:net';
import { AppError } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import type { Precedence } from '../../lib/precedence.js';
import {
  CONNECTION_WINDOW_BYTES,
  DATA_FRAME_MAX_BYTES,
  STREAM_WINDOW_BYTES,
} from '../../protocol/data-plane.js';
import type { AgentConnection } from '../connection.js';
import { paceReads } from './read-pacing.js';
import { createSlots, type Slots } from './slots.js';

/** For streams and what waits in them, in megabytes as Node wants it. */
const SESSION_MEMORY_MAX_MB = 256;
/** What an agent may say in headers. */
const HEADERS_MAX_BYTES = 32 * 1024;
/** An agent that is silent for so many pings is not there. */
const SILENT_PINGS_MAX = 3;

/** One data connection of one agent. */
export interface DataLink {
  /** The control connection that it belongs to. */
  readonly control: AgentConnection;
  readonly session: ClientHttp2Session;
  /** Aborted with `lost` when it is over. */
  readonly ended: AbortSignal;
  readonly lost: AppError;
  /** Which server's file each open handle is. */
  readonly handles: Map<string, string>;
  slotsOf(serverUuid: string): Slots;
  /** So many bytes of a file have come. */
  tookIn(bytes: number): void;
  /** Everything that is under way breaks off. */
  end(): void;
}

export interface DataLinkOptions {
  /** On which nothing but HTTP/2 is spoken any more. */
  socket: Socket;
  control: AgentConnection;
  pingIntervalMs: number;
  precedence: Precedence;
  log: Log;
}

export function openDataLink(options: DataLinkOptions): DataLink {
  const { socket, control, pingIntervalMs, precedence, log } = options;
  const { nodeId } = control;
  const lost = new AppError(
    'node.offline',
    'The node went away in the middle. Try again when its agent is connected.',
  );
  const ending = new AbortController();
  // Each call listens.
  setMaxListeners(0, ending.signal);
  const places = new Map<string, Slots>();
  const session = connect('http://agent', {
    createConnection: () => socket,
    maxSessionMemory: SESSION_MEMORY_MAX_MB,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxFrameSize: DATA_FRAME_MAX_BYTES,
      maxHeaderListSize: HEADERS_MAX_BYTES,
    },
  });
  let heardBytes = 0;
  let silentPings = 0;

  function end(): void {
    if (ending.signal.aborted) return;
    clearInterval(pinging);
    ending.abort(lost);
    session.destroy();
    socket.destroy();
    places.clear();
  }

  const pinging = setInterval(() => {
    silentPings = socket.bytesRead === heardBytes ? silentPings + 1 : 0;
    heardBytes = socket.bytesRead;
    if (silentPings >= SILENT_PINGS_MAX) {
      log.warn({ nodeId }, 'nothing is heard on the data connection of a node any more');
      end();
    } else if (!session.closed && !session.destroyed) session.ping(() => {});
  }, pingIntervalMs);
  for (const part of [socket, session]) {
    part.on('error', (error) => log.debug({ nodeId, err: error }, 'the data connection of a node failed'));
    part.on('close', end);
  }
  // What is half open is of no use, and only the one who would write to it would ever hear of that.
  socket.on('end', end);
  session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));

  return {
    control,
    session,
    ended: ending.signal,
    lost,
    handles: new Map(),
    tookIn: paceReads(socket, precedence),
    slotsOf(serverUuid) {
      // The map holds the servers that something is under way on.
      for (const [uuid, known] of places) if (uuid !== serverUuid && known.isEmpty()) places.delete(uuid);
      const found = places.get(serverUuid) ?? createSlots();
      places.set(serverUuid, found);
      return found;
    },
    end,
  };
}
