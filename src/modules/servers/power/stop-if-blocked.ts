import type { ServerStatus } from '../../../generated/prisma/enums.js';
import { SYSTEM_ACTOR } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import type { Log } from '../../../lib/log.js';
import type { ServerState } from '../state.js';
import { isBusy } from './actions.js';
import type { GiveOrder } from './power.js';

/** Stops a server that is up although it is, or just was, suspended, or about to be deleted. Never rejects for what is expected. */
export type StopIfBlocked = (server: ServerState) => Promise<void>;

export function createStopIfBlocked({ order, log }: { order: GiveOrder; log: Log }): StopIfBlocked {
  return async function stopIfBlocked(server) {
    const because = reasonToBeDown(server);
    if (because === null || !isUp(server)) return;
    // What is under way ends with a report of the agent, which leads here again.
    if (isBusy(server, new Date())) return;
    const { id: serverId, nodeId } = server;
    try {
      await order({
        actor: SYSTEM_ACTOR,
        serverId,
        nodeId,
        verb: 'stop',
        because,
        whileSuspended: 'allowed',
      });
    } catch (error) {
      // Offline: stopped when the node is back. Busy or down: somebody was faster.
      const isExpected = error instanceof AppError && EXPECTED.has(error.code);
      if (!isExpected)
        log.warn({ serverId, nodeId, err: error }, 'could not stop a server that must not run');
    }
  };
}

const EXPECTED: ReadonlySet<string> = new Set(['node.offline', 'server.busy', 'server.not_running']);
const UP: ReadonlySet<ServerStatus> = new Set<ServerStatus>(['starting', 'running', 'stopping']);

/** Why a server goes down whose suspension was lifted before anybody had told its agent to stop it. */
export const WAS_SUSPENDED = 'The server was suspended.';

function reasonToBeDown(server: ServerState): string | null {
  const { suspendedAt, deletionRequestedAt, desiredState, statusReason } = server;
  if (suspendedAt) return 'The server is suspended.';
  if (deletionRequestedAt) return 'The server is being deleted.';
  return desiredState === 'stopped' && statusReason === WAS_SUSPENDED ? WAS_SUSPENDED : null;
}

/** A crashed server that its agent is about to start again counts too. */
export function isUp({ status, desiredState }: ServerState): boolean {
  return UP.has(status) || (status === 'crashed' && desiredState === 'running');
}
