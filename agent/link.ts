import type { Logger } from 'pino';
import { WebSocket } from 'ws';
import type {
  AgentMessage,
  PanelMessage,
  PanelMessageOf,
  RuntimeKind,
} from '../src/protocol/agent-messages.js';
import {
  CloseCode,
  HANDSHAKE_TIMEOUT_MS,
  HEARTBEAT_INTERVAL_MS,
  PANEL_FRAME_MAX_BYTES,
} from '../src/protocol/limits.js';
import type { Credentials } from './credentials.js';
import { handshakeOf } from './handshake.js';
import { createLinkTimers } from './link-timers.js';
import { panelAddress } from './panel-address.js';
import { parsePanelMessage } from './panel-message.js';

export type Welcome = PanelMessageOf<'node_handshake_response'>;
/** What the panel says once the link is up. */
export type Order = Exclude<PanelMessage, Welcome>;

export interface LinkTimings {
  redialMinMs: number;
  redialMaxMs: number;
  /** After another connection has taken this node's place. */
  replacedWaitMs: number;
  /** After the panel has refused every credential. */
  unauthorizedWaitMs: number;
  pingIntervalMs: number;
}

export interface LinkOptions {
  panelUrl: string;
  nodeId: string;
  runtime: RuntimeKind;
  hasProjectQuotas: boolean;
  credentials: Credentials;
  timings: LinkTimings;
  /** The handshake is done; what is sent in here goes before everything else. */
  onWelcome(welcome: Welcome): void;
  onOrder(order: Order): void;
  /** The link is down, for whatever reason; may come without a welcome before. */
  onGone(): void;
  /** There is room again after `send` gave false. */
  onRoom(): void;
  log: Logger;
}

/** The agent's end of the connection to the panel: it is tried for ever. */
export interface Link {
  start(): void;
  /** False: it was not sent. The results of commands are kept for the next connection. */
  send(message: AgentMessage): boolean;
  hasRoom(): boolean;
  /** Give the connection up and dial anew, with the best credential. */
  reconnect(): void;
  /** Stop trying, send what is waiting, and close. */
  close(): Promise<void>;
}

/** Bulk (console, stats) waits while more than this is not yet with the system. */
const ROOM_MAX_BYTES = 1024 * 1024;
/** A connection that takes nothing while even small messages pile up is given up. */
const BUFFERED_MAX_BYTES = 16 * 1024 * 1024;
const KEPT_RESULTS_MAX = 256;
const CLOSE_TIMEOUT_MS = 3000;
const HTTP_UNAUTHORIZED = [401, 403];

export function createLink(options: LinkOptions): Link {
  const { nodeId, credentials, timings, onWelcome, onOrder, onRoom, log } = options;
  let socket: WebSocket | null = null;
  let isReady = false;
  let isClosing = false;
  let isRoomWanted = false;
  let attempt = 0;
  let credentialIndex = 0;
  let retryTimer: NodeJS.Timeout | null = null;
  let isReconnecting = false;
  let keptResults: AgentMessage[] = [];

  function dial() {
    const candidates = credentials.candidates();
    const token = candidates[credentialIndex % Math.max(1, candidates.length)];
    if (token === undefined) {
      log.error('there is no credential: set NODE_TOKEN to a deployment token or the secret of this node');
      return retryIn(timings.unauthorizedWaitMs);
    }
    const current = new WebSocket(panelAddress(options.panelUrl, { path: '/ws', nodeId, token }), {
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      maxPayload: PANEL_FRAME_MAX_BYTES,
      perMessageDeflate: false,
    });
    socket = current;
    const timers = createLinkTimers(current, {
      pingIntervalMs: timings.pingIntervalMs,
      isReady: () => isReady,
      sendHeartbeat: () => send({ type: 'heartbeat' }),
      log,
    });
    let isRefused = false;
    let readyAtMs: number | null = null;
    let lastError: string | null = null;

    current.on('unexpected-response', (request, response) => {
      isRefused = HTTP_UNAUTHORIZED.includes(response.statusCode ?? 0);
      log.warn({ statusCode: response.statusCode }, 'the panel did not accept the connection');
      request.destroy();
      current.terminate();
    });
    current.on('open', () => current.send(JSON.stringify(handshakeOf({ ...options, token }))));
    for (const event of ['message', 'ping', 'pong', 'open']) current.on(event, timers.sawTraffic);
    current.on('message', (data, isBinary) => {
      if (isBinary) return;
      const received = parsePanelMessage(String(data), log);
      if (received.kind === 'invalid') return refuse(received.commandId);
      const { message } = received;
      if (message.type !== 'node_handshake_response') return receive(message);
      if (isReady) return;
      readyAtMs = performance.now();
      timers.startHeartbeat(message.heartbeatIntervalMs ?? HEARTBEAT_INTERVAL_MS);
      acceptWelcome(message, token, candidates);
    });
    current.on('error', (error) => {
      lastError = error.message;
    });
    current.on('close', (code, reason) => {
      timers.stop();
      socket = null;
      isReady = false;
      options.onGone();
      if (isClosing) return;
      const panel = new URL(options.panelUrl).host;
      log.warn({ panel, code, reason: reason.toString(), error: lastError }, 'not connected to the panel');
      // A connection that was good for a while starts the waiting times over.
      if (readyAtMs !== null && performance.now() - readyAtMs > timings.redialMinMs * 10) attempt = 0;
      if (isReconnecting) {
        isReconnecting = false;
        return retryIn(timings.redialMinMs);
      }
      // A panel that ends a connection which it had taken says nothing about what to try first.
      const isUnauthorized = readyAtMs === null && (isRefused || code === CloseCode.unauthorized);
      planRetry(code, isUnauthorized, candidates.length);
    });
  }

  function acceptWelcome(welcome: Welcome, token: string, candidates: string[]) {
    isReady = true;
    try {
      if (welcome.secret !== undefined) credentials.keep(welcome.secret);
      else if (token !== candidates[0]) credentials.forget();
    } catch (error) {
      log.error(
        { error },
        'the secret of this node could not be stored; after a restart a new deployment token is needed',
      );
    }
    credentialIndex = 0;
    log.info({ nodeId }, 'connected to the panel');
    onWelcome(welcome);
    const results = keptResults;
    keptResults = [];
    for (const result of results) send(result);
  }

  /** Whoever gave the command learns that it will not be carried out. */
  function refuse(commandId: string | null) {
    if (commandId === null || !isReady) return;
    const message = 'The agent of the node did not understand the command; is its version the right one?';
    send({ type: 'command_result', commandId, ok: false, code: 'agent.message_invalid', message });
  }

  function receive(order: Order) {
    if (!isReady) return log.warn({ type: order.type }, 'the panel sent an order before the handshake');
    onOrder(order);
  }

  function planRetry(code: number, isUnauthorized: boolean, candidateCount: number) {
    if (code === CloseCode.replaced) {
      log.error('another agent has connected as this node: only one may. Stop one of them');
      return retryIn(timings.replacedWaitMs * (1 + Math.random() / 2));
    }
    if (isUnauthorized) {
      credentialIndex += 1;
      if (credentialIndex < candidateCount) return retryIn(timings.redialMinMs);
      credentialIndex = 0;
      log.error(
        'the panel refused this node: make a new deployment token in the panel and set NODE_TOKEN to it',
      );
      return retryIn(timings.unauthorizedWaitMs * (1 + Math.random() / 2));
    }
    const ceilingMs = Math.min(timings.redialMaxMs, timings.redialMinMs * 2 ** attempt);
    attempt = Math.min(attempt + 1, 30);
    retryIn(timings.redialMinMs + Math.random() * (ceilingMs - timings.redialMinMs));
  }

  function retryIn(waitMs: number) {
    retryTimer = setTimeout(dial, waitMs);
  }

  function hasRoom(): boolean {
    return isReady && socket !== null && socket.bufferedAmount < ROOM_MAX_BYTES;
  }

  function send(message: AgentMessage): boolean {
    if (!isReady || socket === null) {
      if (message.type === 'command_result') keptResults = [...keptResults, message].slice(-KEPT_RESULTS_MAX);
      return false;
    }
    if (isBulk(message) && !hasRoom()) {
      isRoomWanted = true;
      return false;
    }
    socket.send(JSON.stringify(message), offerRoom);
    if (socket.bufferedAmount > BUFFERED_MAX_BYTES) {
      log.warn('the panel takes nothing; dialling anew');
      socket.terminate();
    }
    return true;
  }

  function offerRoom() {
    if (!isRoomWanted || !hasRoom()) return;
    isRoomWanted = false;
    onRoom();
  }

  return {
    start: dial,
    send,
    hasRoom,
    reconnect() {
      credentialIndex = 0;
      if (socket === null) return;
      isReconnecting = true;
      isReady = false;
      closeWithin(socket, CloseCode.goingAway, 'connecting with another secret');
    },
    async close() {
      isClosing = true;
      if (retryTimer !== null) clearTimeout(retryTimer);
      const current = socket;
      if (current === null) return;
      await new Promise<void>((resolve) => {
        current.once('close', () => resolve());
        closeWithin(current, CloseCode.goingAway, 'the agent is stopping');
      });
    },
  };
}

/** Send what is waiting, and close; a panel that does not answer is not waited for. */
function closeWithin(socket: WebSocket, code: number, reason: string) {
  const timer = setTimeout(() => socket.terminate(), CLOSE_TIMEOUT_MS);
  socket.once('close', () => clearTimeout(timer));
  socket.close(code, reason);
}

function isBulk({ type }: AgentMessage): boolean {
  return type === 'console_output' || type === 'console_gap' || type === 'resource_stats';
}
