import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Context } from '../context.js';
import { AppError } from '../lib/errors.js';
import { refuseUpgrade } from '../lib/refuse-upgrade.js';
import { Capability } from '../protocol/agent-messages.js';
import { DATA_MESSAGE_MAX_BYTES } from '../protocol/data-plane.js';
import type { AgentConnection } from './connection.js';
import { type DataLink, openDataLink } from './data-plane-link.js';
import { createPending, readClaim } from './entrance.js';

const PING_INTERVAL_MAX_MS = 10_000;

export interface DataPlaneDoor {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends every data connection, and what is under way on it. */
  close(): void;
}

/** Where agents bring their data connection: `/ws/data?nodeId=…&token=…`, the token being the node's secret. */
export function createDataPlaneDoor({ agents, config, dataLinks, log, nodes }: Context): DataPlaneDoor {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: DATA_MESSAGE_MAX_BYTES,
    perMessageDeflate: false,
  });
  const pingIntervalMs = Math.min(config.HEARTBEAT_INTERVAL_MS / 2, PING_INTERVAL_MAX_MS);
  const open = new Set<DataLink>();
  const pending = createPending();
  let isClosing = false;

  /** The control connection of the node, let in with the very same secret. */
  function findControl(nodeId: string, secretVersion: string): AgentConnection {
    const control = agents.connection(nodeId);
    if (control?.secretVersion === secretVersion && control.capabilities.has(Capability.dataPlane))
      return control;
    throw new AppError('node.offline', 'The node has no control connection here: that one comes first.');
  }

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const { nodeId, token } = readClaim(request);
    const leave = pending.take(request.socket.remoteAddress ?? '');
    try {
      const credential = await nodes.authenticateAgent({ nodeId, token });
      if (credential?.kind !== 'secret') {
        log.warn({ nodeId }, 'a data connection with a wrong secret was turned away');
        throw new AppError('auth.invalid_token');
      }
      if (isClosing) throw new AppError('panel.stopping');
      const control = findControl(nodeId, credential.secretVersion);
      if (!socket.destroyed)
        sockets.handleUpgrade(request, socket, head, (opened) => accept(opened, socket, control));
    } finally {
      leave();
    }
  }

  function accept(socket: WebSocket, below: Duplex, control: AgentConnection): void {
    const link = openDataLink({ socket, below, control, pingIntervalMs, log });
    open.add(link);
    link.ended.addEventListener('abort', () => open.delete(link));
    dataLinks.attach(link);
    log.info({ nodeId: control.nodeId }, 'the data connection of a node is up');
  }

  return {
    handleUpgrade(request, socket, head) {
      if (isClosing) throw new AppError('panel.stopping');
      upgrade(request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error, log));
    },
    close() {
      isClosing = true;
      for (const link of open) link.end();
    },
  };
}
