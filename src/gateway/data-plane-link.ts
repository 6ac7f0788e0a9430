import { setMaxListeners } from 'node:events';
import { type ClientHttp2Session, connect } from 'node:http2';
import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import { AppError } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import {
  CONNECTION_WINDOW_BYTES,
  DATA_FRAME_MAX_BYTES,
  STREAM_WINDOW_BYTES,
} from '../protocol/data-plane.js';
import type { AgentConnection } from './connection.js';
import { createPlaces, type Places } from './data-plane-places.js';
import { streamOver } from './data-plane-stream.js';

/** For streams and what waits in them, in megabytes as Node wants it. */
const SESSION_MEMORY_MAX_MB = 256;
/** What an agent may say in headers. */
const HEADERS_MAX_BYTES = 32 * 1024;
/** An agent that is silent for so many pings is not there. */
const SILENT_PINGS_MAX = 2.5;

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
  placesOf(serverUuid: string): Places;
  /** Everything that is under way breaks off. */
  end(): void;
}

export interface DataLinkOptions {
  socket: WebSocket;
  /** The connection that the WebSocket speaks over. */
  below: Duplex;
  control: AgentConnection;
  pingIntervalMs: number;
  log: Log;
}

export function openDataLink({ socket, below, control, pingIntervalMs, log }: DataLinkOptions): DataLink {
  const { nodeId } = control;
  const lost = new AppError(
    'node.offline',
    'The node went away in the middle. Try again when its agent is connected.',
  );
  const ending = new AbortController();
  // Each call listens.
  setMaxListeners(0, ending.signal);
  const places = new Map<string, Places>();
  const duplex = streamOver(socket, below);
  const session = connect('http://agent', {
    createConnection: () => duplex,
    maxSessionMemory: SESSION_MEMORY_MAX_MB,
    settings: {
      enablePush: false,
      initialWindowSize: STREAM_WINDOW_BYTES,
      maxFrameSize: DATA_FRAME_MAX_BYTES,
      maxHeaderListSize: HEADERS_MAX_BYTES,
    },
  });
  let heardAtMs = performance.now();

  function end(): void {
    if (ending.signal.aborted) return;
    clearInterval(pinging);
    ending.abort(lost);
    session.destroy();
    socket.terminate();
    places.clear();
  }

  const pinging = setInterval(() => {
    if (performance.now() - heardAtMs > SILENT_PINGS_MAX * pingIntervalMs) {
      log.warn({ nodeId }, 'nothing is heard on the data connection of a node any more');
      end();
    } else if (socket.readyState === socket.OPEN) socket.ping();
  }, pingIntervalMs);
  for (const event of ['message', 'ping', 'pong']) {
    socket.on(event, () => {
      heardAtMs = performance.now();
    });
  }
  for (const part of [socket, duplex, session]) {
    part.on('error', (error) => log.debug({ nodeId, err: error }, 'the data connection of a node failed'));
    part.on('close', end);
  }
  session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));

  return {
    control,
    session,
    ended: ending.signal,
    lost,
    handles: new Map(),
    placesOf(serverUuid) {
      // The map holds the servers that something is under way on.
      for (const [uuid, known] of places) if (uuid !== serverUuid && known.isEmpty()) places.delete(uuid);
      const found = places.get(serverUuid) ?? createPlaces();
      places.set(serverUuid, found);
      return found;
    },
    end,
  };
}
