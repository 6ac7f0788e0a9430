import { isIPv4 } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import { DATA_MESSAGE_MAX_BYTES, DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';
import { HANDSHAKE_TIMEOUT_MS } from '../../src/protocol/limits.js';
import type { LinkTimings } from '../link.js';
import { createLinkTimers } from '../link-timers.js';
import { panelAddress } from '../panel-address.js';
import { streamOver } from './connection-stream.js';

export interface DiallerOptions {
  panelUrl: string;
  nodeId: string;
  /** What the control connection was let in with. */
  token(): string | undefined;
  timings: Pick<LinkTimings, 'redialMinMs' | 'redialMaxMs' | 'pingIntervalMs'>;
  /** Called with the connection once the panel has taken it. */
  serve(connection: Duplex): void;
  /** Called with a connection that was served and has ended. */
  lose(connection: Duplex): void;
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
  const { panelUrl, nodeId, timings, serve, lose, log } = options;
  let isWanted = false;
  let attempt = 0;
  let socket: WebSocket | null = null;
  let retryTimer: NodeJS.Timeout | undefined;

  function dial(): void {
    const token = options.token();
    if (token === undefined) return;
    const address = panelAddress(panelUrl, { path: DATA_PLANE_PATH, nodeId, token });
    const current = new WebSocket(address, {
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: DATA_MESSAGE_MAX_BYTES,
      perMessageDeflate: false,
      ...(hasNobodyBetween(address) && { generateMask: maskNothing }),
    });
    socket = current;
    const timers = createLinkTimers(current, {
      pingIntervalMs: timings.pingIntervalMs,
      isReady: () => true,
      sendHeartbeat() {},
      log,
    });
    let openedAtMs: number | null = null;
    let lastError: string | null = null;
    for (const event of ['message', 'ping', 'pong', 'open']) current.on(event, timers.sawTraffic);
    current.on('error', (error) => {
      lastError = error.message;
    });
    let below: Duplex | undefined;
    current.on('upgrade', (response) => {
      below = response.socket;
    });
    current.on('open', () => {
      openedAtMs = performance.now();
      if (!below) return;
      const connection = streamOver(current, below);
      // The socket's own listeners say what is to be said.
      connection.on('error', () => {});
      serve(connection);
      current.once('close', () => lose(connection));
    });
    current.on('close', (code) => {
      timers.stop();
      if (socket !== current) return;
      socket = null;
      log.info({ code, error: lastError }, 'no data connection to the panel; dialling anew');
      if (openedAtMs !== null && performance.now() - openedAtMs > timings.redialMinMs * 10) attempt = 0;
      retry();
    });
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
    const current = socket;
    socket = null;
    current?.terminate();
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

/**
 * What an agent sends is masked for the sake of proxies on the way that take a WebSocket for HTTP. It takes longer than all
 * the rest of the way, and does nothing where none can read along.
 */
function hasNobodyBetween({ protocol, hostname }: URL): boolean {
  return protocol === 'wss:' || hostname === 'localhost' || hostname === '[::1]' || isIPv4Loopback(hostname);
}

function isIPv4Loopback(hostname: string): boolean {
  return isIPv4(hostname) && hostname.startsWith('127.');
}

/** Leaves the four bytes that everything is masked with at zero. */
function maskNothing(): void {}
