import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Logger } from 'pino';
import { DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';
import { HANDSHAKE_TIMEOUT_MS } from '../../src/protocol/limits.js';
import type { LinkTimings } from '../link.js';
import { panelAddress } from '../panel-address.js';
import { dialDataConnection } from './dial.js';

/** A panel of which nothing is heard for so many pings is not there. */
const SILENT_PINGS_MAX = 3;

export interface DiallerOptions {
  panelUrl: string;
  nodeId: string;
  /** What the control connection was let in with. */
  token(): string | undefined;
  timings: Pick<LinkTimings, 'redialMinMs' | 'redialMaxMs' | 'pingIntervalMs'>;
  /** Called with the connection once the panel has taken it. */
  serve(connection: Socket): ServerHttp2Session;
  log: Logger;
}

/** The agent's end of the data connection, which lives while there is a control connection. */
export interface Dialler {
  /** A control connection is up: dial until the panel takes it, and again whenever it ends. */
  open(): void;
  /** The control connection is gone: so is everything here, at once. */
  close(): void;
}

export function createDialler(options: DiallerOptions): Dialler {
  const { panelUrl, nodeId, timings, serve, log } = options;
  let isWanted = false;
  let attempt = 0;
  /** Of the connection that there is, or is dialled. */
  let ending: AbortController | null = null;
  let retryTimer: NodeJS.Timeout | undefined;

  function dial(): void {
    const token = options.token();
    if (token === undefined) return;
    const current = new AbortController();
    ending = current;
    const address = panelAddress(panelUrl, { path: DATA_PLANE_PATH, nodeId, token });
    hold(address, current.signal)
      .then(
        (openMs) => {
          log.info('the data connection to the panel has ended; dialling anew');
          if (openMs > timings.redialMinMs * 10) attempt = 0;
        },
        (error: Error) =>
          log.info({ error: error.message }, 'no data connection to the panel; dialling anew'),
      )
      .finally(() => ending === current && retry());
  }

  /** Answers how long there was a connection. */
  async function hold(address: URL, signal: AbortSignal): Promise<number> {
    const deadline = AbortSignal.timeout(HANDSHAKE_TIMEOUT_MS);
    const socket = await dialDataConnection(address, AbortSignal.any([signal, deadline]));
    const openedAtMs = performance.now();
    const closed = new Promise((resolve) => socket.once('close', resolve));
    const end = () => socket.destroy();
    signal.addEventListener('abort', end);
    if (signal.aborted) end();
    const session = serve(socket);
    const watch = setInterval(createWatch(socket, session), timings.pingIntervalMs);
    await closed;
    clearInterval(watch);
    signal.removeEventListener('abort', end);
    session.destroy();
    return performance.now() - openedAtMs;
  }

  /** What is to be done at each ping. */
  function createWatch(socket: Socket, session: ServerHttp2Session): () => void {
    let heardBytes = 0;
    let silentPings = 0;
    return () => {
      silentPings = socket.bytesRead === heardBytes ? silentPings + 1 : 0;
      heardBytes = socket.bytesRead;
      if (silentPings >= SILENT_PINGS_MAX) {
        log.warn('the panel is silent on the data connection; dialling anew');
        socket.destroy();
      } else if (!session.closed && !session.destroyed) session.ping(() => {});
    };
  }

  /** As long apart as the control connection's tries. */
  function retry(): void {
    const ceilingMs = Math.min(timings.redialMaxMs, timings.redialMinMs * 2 ** attempt);
    attempt = Math.min(attempt + 1, 30);
    const waitMs = timings.redialMinMs + Math.random() * Math.max(0, ceilingMs - timings.redialMinMs);
    retryTimer = setTimeout(() => isWanted && dial(), waitMs);
  }

  function close(): void {
    isWanted = false;
    clearTimeout(retryTimer);
    const current = ending;
    ending = null;
    current?.abort();
  }

  return {
    open() {
      close();
      isWanted = true;
      attempt = 0;
      dial();
    },
    close,
  };
}
