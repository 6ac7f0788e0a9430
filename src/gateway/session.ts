import type { WebSocket } from 'ws';
import type { Context } from '../context.js';
import { createFrameParser, type Frame } from '../lib/web-sockets.js';
import { AgentMessage, type AgentMessageOf } from '../protocol/agent-messages.js';
import { CloseCode, HANDSHAKE_TIMEOUT_MS } from '../protocol/limits.js';
import { type Admitted, admit } from './admission.js';
import type { AgentHandlers } from './handlers.js';
import type { Claim } from './handshake.js';
import { createInbox } from './inbox.js';
import { createLiveness } from './liveness.js';
import type { Presence } from './presence.js';
import { createReceiver, type Receiver } from './receiver.js';
import { createValve } from './valve.js';
import { createViolations } from './violations.js';

const parseFrame = createFrameParser(AgentMessage);

/** "Try again later", registered with IANA. */
const TRY_AGAIN_LATER = 1013;

/** One agent's socket, from the upgrade to its end. */
export interface AgentSession {
  checkLiveness(): void;
  /** It is deleted or on another node: what the agent still says about it is none of its business. */
  forgetServer(serverId: string): void;
}

export interface SessionOptions {
  context: Context;
  handlers: AgentHandlers;
  presence: Presence;
  socket: WebSocket;
  claim: Claim;
  /** The agent was admitted, or never will be. */
  onSettled: () => void;
}

export function openSession(options: SessionOptions): AgentSession {
  const { context, handlers, presence, socket, claim, onSettled } = options;
  const { log, agents, config } = context;
  const { nodeId } = claim;
  const valve = createValve(socket);
  const violations = createViolations({
    nodeId,
    log,
    onTooMany: () => socket.close(CloseCode.badMessage, 'Too many messages that are not allowed.'),
  });
  const liveness = createLiveness({
    socket,
    valve,
    heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS,
    onSilent: () => log.warn({ nodeId }, 'nothing is heard of an agent any more'),
    onSeen: () => admitted && presence.seen(nodeId),
  });
  const inbox = createInbox({ valve, handle });
  const handshakeTimer = setTimeout(() => {
    socket.close(CloseCode.handshakeTimeout, 'No handshake came in time.');
  }, HANDSHAKE_TIMEOUT_MS);
  let admitted: Admitted | null = null;
  let receiver: Receiver | null = null;
  let isClosed = false;

  async function handle(frame: Frame): Promise<void> {
    if (isClosed) return;
    const parsed = parseFrame(frame);
    if (receiver) return receiver.receive(parsed);
    if (parsed.kind === 'message' && parsed.message.type === 'node_handshake') return greet(parsed.message);
    socket.close(CloseCode.unauthorized, 'Say who you are first.');
  }

  async function greet(message: AgentMessageOf<'node_handshake'>): Promise<void> {
    clearTimeout(handshakeTimer);
    try {
      admitted = await admit({ context, presence, socket, valve, claim, violations }, message);
      if (admitted) receiver = createReceiver({ sender: admitted, handlers, log, isClosed: () => isClosed });
    } catch (error) {
      log.error({ nodeId, err: error }, 'could not admit an agent');
      socket.close(TRY_AGAIN_LATER, 'Try again in a moment.');
    }
    onSettled();
    if (isClosed) leave();
  }

  function leave(): void {
    if (!admitted || !agents.detach(admitted.connection)) return;
    log.info({ nodeId }, 'an agent disconnected');
    presence.left(nodeId);
  }

  socket.on('message', (data, isBinary) => {
    liveness.heard();
    // "nodebuffer", the default binary type, gives one Buffer for each message.
    if (!isClosed && Buffer.isBuffer(data)) inbox.push({ data, isBinary });
  });
  socket.on('error', (error) => log.debug({ nodeId, err: error }, 'the socket of an agent failed'));
  socket.on('close', () => {
    isClosed = true;
    clearTimeout(handshakeTimer);
    inbox.close();
    onSettled();
    leave();
  });

  return {
    checkLiveness: liveness.check,
    forgetServer: (serverId) => admitted?.ownership.forget(serverId),
  };
}
