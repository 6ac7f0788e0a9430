import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { Context } from '../../context.js';
import { AppError } from '../../lib/errors.js';
import { refuseUpgrade } from '../../lib/refuse-upgrade.js';
import { Capability } from '../../protocol/agent-messages.js';
import type { AgentConnection } from '../connection.js';
import { createPending, readClaim } from '../entrance.js';
import { agree, readKey } from './handshake.js';
import { type DataLink, openDataLink } from './link.js';

const PING_INTERVAL_MAX_MS = 10_000;

export interface DataPlaneDoor {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Ends every data connection, and what is under way on it. */
  close(): void;
}

/** Where agents bring their data connection: `/ws/data?nodeId=…&token=…`, the token being the node's secret. */
export function createDataPlaneDoor(context: Context): DataPlaneDoor {
  const { agents, config, dataLinks, log, nodes, precedence } = context;
  const pingIntervalMs = Math.min(config.HEARTBEAT_INTERVAL_MS / 2, PING_INTERVAL_MAX_MS);
  const open = new Set<DataLink>();
  const pending = createPending();
  const closing = new AbortController();

  /** The control connection of the node, let in with the very same secret. */
  function findControl(nodeId: string, secretVersion: string): AgentConnection {
    const control = agents.connection(nodeId);
    if (control?.secretVersion === secretVersion && control.capabilities.has(Capability.dataPlane))
      return control;
    throw new AppError('node.offline', 'The node has no control connection here: that one comes first.');
  }

  async function admit(request: IncomingMessage): Promise<AgentConnection> {
    const { nodeId, token } = readClaim(request);
    const credential = await nodes.authenticateAgent({ nodeId, token });
    if (credential?.kind !== 'secret') {
      log.warn({ nodeId }, 'a data connection with a wrong secret was turned away');
      throw new AppError('auth.invalid_token');
    }
    if (closing.signal.aborted) throw new AppError('panel.stopping');
    return findControl(nodeId, credential.secretVersion);
  }

  async function upgrade(request: IncomingMessage, head: Buffer): Promise<void> {
    const { socket } = request;
    const leave = pending.take(socket.remoteAddress ?? '');
    try {
      const control = await admit(request);
      const key = readKey(request);
      if (socket.destroyed) return;
      const isAgreed = await agree(request, { key, head, signal: closing.signal, log });
      // Meanwhile the node may have gone, or come anew.
      if (isAgreed && !closing.signal.aborted && agents.connection(control.nodeId) === control)
        accept(socket, control);
      else socket.destroy();
    } finally {
      leave();
    }
  }

  function accept(socket: Socket, control: AgentConnection): void {
    const link = openDataLink({ socket, control, pingIntervalMs, precedence, log });
    open.add(link);
    link.ended.addEventListener('abort', () => open.delete(link));
    dataLinks.attach(link);
    log.info({ nodeId: control.nodeId }, 'the data connection of a node is up');
  }

  return {
    handleUpgrade(request, socket, head) {
      if (closing.signal.aborted) throw new AppError('panel.stopping');
      upgrade(request, head).catch((error: unknown) => refuseUpgrade(socket, error, log));
    },
    close() {
      closing.abort();
      for (const link of open) link.end();
    },
  };
}
