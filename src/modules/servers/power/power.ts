import { randomUUID } from 'node:crypto';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Actor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import { Capability, type PanelMessage } from '../../../protocol/agent-messages.js';
import type { Nodes } from '../../nodes/service.js';
import type { ServerAccess } from '../access.js';
import type { Specifications } from '../specification.js';
import type { ServerState, ServerStates, StateAudit } from '../state.js';
import { begin, type PowerVerb, STOP_TIMEOUT_SECONDS } from './actions.js';
import { commandMessage, requireAcceptable, requireNetworks } from './command-message.js';

export interface Power {
  /** Resolves when the command has been handed to the agent. */
  power(
    actor: Actor,
    serverId: string,
    verb: PowerVerb,
    options?: { timeoutSeconds?: number | undefined },
  ): Promise<void>;
  /** Installs once more, over what is there. */
  reinstall(actor: Actor, serverId: string): Promise<void>;
}

export interface PowerOrder {
  /** Who is written into the audit log. Nobody asks here whether he may. */
  actor: Actor;
  serverId: string;
  nodeId: string;
  verb: PowerVerb;
  /** What the audit log calls it, when not by its verb, and why it was done. */
  action?: `server.${string}`;
  because?: string;
  timeoutSeconds?: number | undefined;
  whileSuspended?: 'allowed' | 'blocked';
}

export type GiveOrder = (order: PowerOrder) => Promise<void>;

/** How often an order is prepared again because the server was changed meanwhile. */
const ATTEMPTS_MAX = 5;

interface Command {
  commandId: string;
  message: PanelMessage;
  /** When the server that the message describes had last been changed. */
  specifiedAt: Date;
}

interface Taken {
  before: ServerState;
  after: ServerState;
}

/** For users: asks whether they may. */
export function createPower({ access, order }: { access: ServerAccess; order: GiveOrder }): Power {
  return {
    async power(actor, serverId, verb, options) {
      const server = await access.authorise(actor, serverId, `server.${verb}`);
      const { nodeId } = server;
      await order({ actor, serverId, nodeId, verb, timeoutSeconds: options?.timeoutSeconds });
    },
    async reinstall(actor, serverId) {
      const { nodeId } = await access.authorise(actor, serverId, 'server.install');
      await order({ actor, serverId, nodeId, verb: 'install', action: 'server.reinstall' });
    },
  };
}

/**
 * Takes the server's one action and hands the command to the agent. Throws what is in the way; then, and when
 * the agent is gone in between, everything is as it was.
 */
export function createPowerOrders({
  agents,
  nodes,
  states,
  specifications,
}: {
  agents: AgentGateway;
  nodes: Pick<Nodes, 'absence'>;
  states: ServerStates;
  specifications: Specifications;
}): GiveOrder {
  return async function order(wanted: PowerOrder): Promise<void> {
    if (!agents.isConnected(wanted.nodeId)) throw await nodes.absence(wanted.nodeId);
    for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt += 1) {
      // Before the action is taken: between taking it and handing it over nothing may come in between.
      const command = await prepare(wanted, randomUUID());
      const changed = await take(wanted, command);
      if (changed) return handOver(wanted, command, changed);
    }
    throw new AppError('server.busy', 'Somebody is changing the server at this moment. Try again.');
  };

  /** Null when the server is not any more as the command says: its ports and memory are others' by now. */
  async function take(
    wanted: PowerOrder,
    { commandId, message, specifiedAt }: Command,
  ): Promise<Taken | null> {
    const { actor, serverId, nodeId, verb } = wanted;
    let isOutdated = false;
    const changed = await states.change(
      serverId,
      (server) => {
        // Given to another node this very moment.
        if (server.nodeId !== nodeId) throw new AppError('server.busy');
        const begun = begin(server, {
          verb,
          commandId,
          timeoutSeconds: wanted.timeoutSeconds ?? STOP_TIMEOUT_SECONDS,
          hasCrashPolicy: agents.hasCapability(nodeId, Capability.crashPolicy),
          whileSuspended: wanted.whileSuspended ?? 'blocked',
          now: new Date(),
        });
        isOutdated = 'allocatedMemoryMb' in message && server.updatedAt.getTime() !== specifiedAt.getTime();
        return isOutdated ? null : begun;
      },
      { actor, entry: auditEntry(verb, wanted) },
    );
    if (!changed && !isOutdated) throw new AppError('server.not_found');
    return changed;
  }

  async function handOver(wanted: PowerOrder, { commandId, message }: Command, taken: Taken): Promise<void> {
    const { actor, serverId, nodeId, verb } = wanted;
    try {
      agents.send(nodeId, message);
    } catch (error) {
      const entry = auditEntry(verb, wanted);
      const metadata = { ...entry.metadata, takenBack: 'The node went offline.' };
      await states.change(serverId, (server) => takeBack(server, taken, commandId), {
        actor,
        entry: { ...entry, metadata },
      });
      throw error;
    }
  }

  async function prepare({ nodeId, ...wanted }: PowerOrder, commandId: string): Promise<Command> {
    const { specification, updatedAt } = await specifications.dated(wanted.serverId);
    const hasResults = agents.hasCapability(nodeId, Capability.commandResults);
    const message = commandMessage({ ...wanted, specification, hasResults, commandId });
    requireAcceptable(message);
    requireNetworks(message, agents.hasCapability(nodeId, Capability.networks));
    return { commandId, message, specifiedAt: updatedAt };
  }
}

function auditEntry(
  verb: PowerVerb,
  { action, because, timeoutSeconds }: Pick<PowerOrder, 'action' | 'because' | 'timeoutSeconds'>,
): StateAudit['entry'] {
  return { action: action ?? `server.${verb}`, metadata: withoutUndefined({ because, timeoutSeconds }) };
}

/** As it was, but for what somebody else has done to it meanwhile. */
function takeBack(server: ServerState, { before, after }: Taken, commandId: string): ServerState | null {
  const isOurs = after.activeCommandId === commandId && server.activeCommandId === commandId;
  const { suspendedAt, suspendedByUserId, suspensionReason, deletionRequestedAt } = server;
  return isOurs ? { ...before, suspendedAt, suspendedByUserId, suspensionReason, deletionRequestedAt } : null;
}
