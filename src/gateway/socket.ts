import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Context } from '../context.js';
import { createClientAddress } from '../lib/client-address.js';
import { AppError } from '../lib/errors.js';
import { refuseUpgrade } from '../lib/refuse-upgrade.js';
import { closeAll } from '../lib/web-sockets.js';
import { AGENT_FRAME_MAX_BYTES, CloseCode } from '../protocol/limits.js';
import { createPending, readClaim } from './entrance.js';
import { createAgentHandlers } from './handlers.js';
import type { Claim } from './handshake.js';
import { startOtherPanelsWatch } from './other-panels-watch.js';
import { createPresence } from './presence.js';
import { type AgentSession, openSession } from './session.js';
import { startWatch } from './watch.js';

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
  const otherPanelsWatch = startOtherPanelsWatch(context);
  const pending = createPending();
  let isClosing = false;

  function forgetServer({ serverId }: { serverId: string }): void {
    for (const session of sessions.values()) session.forgetServer(serverId);
  }
  bus.on('server.deleted', forgetServer);
  bus.on('server.moved', forgetServer);

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    if (isClosing) throw new AppError('panel.stopping');
    const address = request.socket.remoteAddress ?? '';
    const { nodeId, token } = readClaim(request);
    const releasePlace = pending.take(address);
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
      await Promise.all([watch.stop(), otherPanelsWatch.stop()]);
      await closeAll([...sessions.keys()], CloseCode.goingAway, 'The panel is shutting down.');
      await presence.settled();
    },
  };
}
