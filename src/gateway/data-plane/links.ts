import { AppError } from '../../lib/errors.js';
import { Capability } from '../../protocol/agent-messages.js';
import type { AgentGateway } from '../gateway.js';
import type { DataLink } from './link.js';

/** An agent whose control connection is up dials the second at once. */
const ARRIVAL_TIMEOUT_MS = 5000;

/** The data connections that there are: one a node at most, and only beside the control connection it belongs to. */
export interface DataLinks {
  find(nodeId: string): DataLink | undefined;
  /** Waits a moment for one that is on its way. Throws `node.offline`. */
  reach(nodeId: string, signal: AbortSignal | undefined): Promise<DataLink>;
  /** A newer one takes the place of the older. */
  attach(link: DataLink): void;
}

export function createDataLinks(agents: AgentGateway): DataLinks {
  const byNode = new Map<string, DataLink>();
  const waiting = new Map<string, Set<() => void>>();

  /** One that is about to be told that it has ended takes nothing any more. */
  function find(nodeId: string): DataLink | undefined {
    const link = byNode.get(nodeId);
    return link && !link.session.closed && !link.session.destroyed ? link : undefined;
  }

  function wake(nodeId: string): void {
    for (const look of waiting.get(nodeId) ?? []) look();
  }

  agents.whenReleased((control) => {
    const link = byNode.get(control.nodeId);
    if (link?.control === control) link.end();
    wake(control.nodeId);
  });

  function requireControl(nodeId: string): void {
    if (!agents.isConnected(nodeId)) throw new AppError('node.offline');
    if (!agents.hasCapability(nodeId, Capability.dataPlane)) throw new AppError('node.files_unavailable');
  }

  function arrival(nodeId: string, signal: AbortSignal | undefined): Promise<DataLink> {
    const looks = waiting.get(nodeId) ?? new Set();
    waiting.set(nodeId, looks);
    return new Promise<DataLink>((resolve, reject) => {
      const settle = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', onAbort);
        looks.delete(look);
        if (looks.size === 0 && waiting.get(nodeId) === looks) waiting.delete(nodeId);
      };
      const giveUp = (error: unknown) => {
        settle();
        reject(error);
      };
      const look = () => {
        const link = find(nodeId);
        if (!link) return agents.isConnected(nodeId) || giveUp(new AppError('node.offline'));
        settle();
        resolve(link);
      };
      const onAbort = () => giveUp(signal?.reason);
      const timer = setTimeout(() => giveUp(new AppError('node.offline')), ARRIVAL_TIMEOUT_MS);
      signal?.addEventListener('abort', onAbort);
      looks.add(look);
    });
  }

  return {
    find,
    async reach(nodeId, signal) {
      signal?.throwIfAborted();
      const link = find(nodeId);
      if (link) return link;
      requireControl(nodeId);
      return arrival(nodeId, signal);
    },
    attach(link) {
      const { nodeId } = link.control;
      const earlier = byNode.get(nodeId);
      byNode.set(nodeId, link);
      earlier?.end();
      link.ended.addEventListener('abort', () => {
        if (byNode.get(nodeId) === link) byNode.delete(nodeId);
      });
      wake(nodeId);
    },
  };
}
