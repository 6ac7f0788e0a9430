import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Context } from '../context.js';
import { createClientAddress } from '../lib/client-address.js';
import { AppError } from '../lib/errors.js';
import { refuseUpgrade } from '../lib/refuse-upgrade.js';
import { closeAll } from '../lib/web-sockets.js';
import { AGENT_FRAME_MAX_BYTES, CloseCode } from '../protocol/limits.js';
import { createAgentHandlers } from './handlers.js';
import type { Claim } from './handshake.js';
import { createPresence } from './presence.js';
import { startSecretWatch } from './secret-watch.js';
import { type AgentSession, openSession } from './session.js';
import { startWatch } from './watch.js';

/** Connections of one address that have not been admitted yet. */
const PENDING_MAX = 20;
const NODE_ID = /^[A-Za-z0-9_-]{1,64}$/;
const TOKEN_MAX_LENGTH = 512;

export interface AgentDoor {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Sends every agent away with 1001 and waits until all is written. */
  close(): Promise<void>;
}

/** Where agents come in: `/ws?nodeId=…&token=…`. */
export function createAgentDoor(context: Context): AgentDoor {
  const { bus, log } = context;
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: AGENT_FRAME_MAX_BYTES,
    perMessageDeflate: false,
  });
  const handlers = createAgentHandlers(context);
  const presence = createPresence(context);
  const addressOf = createClientAddress(context.config.TRUST_PROXY);
  const sessions = new Map<WebSocket, AgentSession>();
  const watch = startWatch(context, () => {
    for (const session of sessions.values()) session.checkLiveness();
  });
  const secretWatch = startSecretWatch(context);
  const pending = new Map<string, number>();
  let isClosing = false;

  function forgetServer({ serverId }: { serverId: string }): void {
    for (const session of sessions.values()) session.forgetServer(serverId);
  }
  bus.on('server.deleted', forgetServer);
  bus.on('server.moved', forgetServer);

  /** Answers how the place is given back; more than once does no harm. */
  function takePlace(address: string): () => void {
    const taken = pending.get(address) ?? 0;
    if (taken >= PENDING_MAX) throw new AppError('gateway.too_many_connections');
    pending.set(address, taken + 1);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      const left = (pending.get(address) ?? 1) - 1;
      if (left > 0) pending.set(address, left);
      else pending.delete(address);
    };
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (isClosing) throw new AppError('panel.stopping');
    const address = request.socket.remoteAddress ?? '';
    const { nodeId, token } = readClaim(request);
    const releasePlace = takePlace(address);
    try {
      const credential = await context.nodes.authenticateAgent({ nodeId, token });
      if (!credential) {
        log.warn({ nodeId, address }, 'an agent with a wrong token was turned away');
        throw new AppError('auth.invalid_token');
      }
      if (isClosing) throw new AppError('panel.stopping');
      if (socket.destroyed) return releasePlace();
      sockets.handleUpgrade(request, socket, head, (webSocket) => {
        const origin = { ipAddress: addressOf(request), userAgent: request.headers['user-agent'] };
        open(webSocket, { nodeId, token, credential, origin }, releasePlace);
      });
      socket.once('close', releasePlace);
    } catch (error) {
      releasePlace();
      throw error;
    }
  }

  function open(socket: WebSocket, claim: Claim, onSettled: () => void): void {
    const session = openSession({ context, handlers, presence, socket, claim, onSettled });
    sessions.set(socket, session);
    socket.on('close', () => sessions.delete(socket));
  }

  return {
    handleUpgrade(request, socket, head) {
      socket.on('error', (error) => log.debug({ err: error }, 'the socket of an agent failed'));
      upgrade(request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error, log));
    },
    async close() {
      isClosing = true;
      await Promise.all([watch.stop(), secretWatch.stop()]);
      await closeAll([...sessions.keys()], CloseCode.goingAway, 'The panel is shutting down.');
      await presence.settled();
    },
  };
}

function readClaim(request: IncomingMessage): { nodeId: string; token: string } {
  const query = new URL(request.url ?? '', 'http://panel').searchParams;
  const nodeIds = query.getAll('nodeId');
  const tokens = query.getAll('token');
  if (nodeIds.length !== 1 || tokens.length > 1 || !NODE_ID.test(nodeIds[0] ?? '')) {
    throw new AppError('request.invalid', 'Give one nodeId and one token.');
  }
  const token = tokens[0] ?? '';
  if (token === '' || token.length > TOKEN_MAX_LENGTH) throw new AppError('auth.invalid_token');
  return { nodeId: nodeIds[0] ?? '', token };
}
