import {
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
  type ServerOptions,
} from 'node:http2';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import {
  CONNECTION_WINDOW_BYTES,
  DATA_FRAME_MAX_BYTES,
  STREAM_WINDOW_BYTES,
  STREAMS_PER_SERVER_MAX,
} from '../../src/protocol/data-plane.js';
import type { FileService } from '../files/contract.js';
import { FileError } from '../files/errors.js';
import { answer, refuse } from './answers.js';
import { readRoute } from './routes.js';
import { createWorkTurns } from './works.js';

/** On one connection, all servers together; the panel lets others wait. */
const STREAMS_MAX = 1024;
/** The panel counts a stream as ended a moment before we do. */
const STREAMS_PER_SERVER_LIMIT = 2 * STREAMS_PER_SERVER_MAX;
/** For streams and what waits in them, in megabytes as Node wants it. */
const SESSION_MEMORY_MAX_MB = 256;
/** The panel has its own, shorter deadlines. This one is for a panel that has forgotten a stream. */
const STREAM_IDLE_TIMEOUT_MS = 30 * 60_000;

/** The same for all: one of its own for each call would cost as much as answering it. */
const GONE = new Error('Nobody waits for it any more.');

const SESSION_OPTIONS: ServerOptions = {
  maxSessionMemory: SESSION_MEMORY_MAX_MB,
  settings: {
    initialWindowSize: STREAM_WINDOW_BYTES,
    maxFrameSize: DATA_FRAME_MAX_BYTES,
    maxConcurrentStreams: STREAMS_MAX,
  },
};

export interface DataServerOptions {
  files: FileService;
  /** Whether the server is on this node. */
  hasServer(uuid: string): boolean;
  log: Logger;
}

/** Answers what the panel asks over a data connection. */
export interface DataServer {
  serve(connection: Duplex): ServerHttp2Session;
  close(): void;
}

export function createDataServer({ files, hasServer, log }: DataServerOptions): DataServer {
  const sessions = new Set<ServerHttp2Session>();
  const underWay = new Map<string, number>();
  const turns = createWorkTurns();

  /** Counts the stream as the server's until it is closed. */
  function takePlace(uuid: string, stream: ServerHttp2Stream): void {
    const count = underWay.get(uuid) ?? 0;
    if (!hasServer(uuid)) throw new FileError('server.not_found', 'The server is not on this node.');
    if (count >= STREAMS_PER_SERVER_LIMIT) throw new FileError('file.busy', 'Too much is under way already.');
    underWay.set(uuid, count + 1);
    stream.once('close', () => {
      const left = (underWay.get(uuid) ?? 1) - 1;
      if (left > 0) underWay.set(uuid, left);
      else underWay.delete(uuid);
    });
  }

  async function handle(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): Promise<void> {
    const connection = stream.session;
    if (connection === undefined || stream.destroyed) return;
    const aborting = new AbortController();
    // Before the end of what is read from it, which this is not.
    stream.once('aborted', () => aborting.abort(GONE));
    stream.once('close', () => aborting.abort(GONE));
    try {
      const route = readRoute(headers[':method'] ?? '', headers[':path'] ?? '');
      if (route.serverUuid !== null) takePlace(route.serverUuid, stream);
      const call = { signal: aborting.signal, connection };
      await answer(stream, { files, route, headers, call, turns, log });
    } catch (error) {
      if (!aborting.signal.aborted) refuse(stream, error, log);
    }
  }

  function serve(connection: Duplex): ServerHttp2Session {
    const session = performServerHandshake(connection, SESSION_OPTIONS);
    sessions.add(session);
    session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
    session.on('error', (error) => log.debug({ error }, 'the data connection failed'));
    session.once('close', () => {
      sessions.delete(session);
      files.closeConnection(session).catch((error: unknown) => {
        log.error({ error }, 'the files of a connection that ended could not be closed');
      });
    });
    session.on('stream', (stream, headers) => {
      stream.on('error', (error) => log.debug({ error }, 'a transfer ended early'));
      const forget = () => stream.destroy(new Error('The panel has forgotten it.'));
      stream.setTimeout(STREAM_IDLE_TIMEOUT_MS, forget);
      void handle(stream, headers);
    });
    return session;
  }

  return {
    serve,
    close() {
      for (const session of sessions) session.destroy();
    },
  };
}
