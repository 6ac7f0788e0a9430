import { randomUUID } from 'node:crypto';
import type { AgentGateway } from '../../../gateway/gateway.js';
import type { Actor } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { withoutUndefined } from '../../../lib/without-undefined.js';
import { Capability, PanelMessage } from '../../../protocol/agent-messages.js';
import { PANEL_FRAME_MAX_BYTES } from '../../../protocol/limits.js';
import type { ServerAccess } from '../access.js';
import type { Specifications } from '../specification.js';
import type { ServerState, ServerStates, StateAudit } from '../state.js';
import { begin, type PowerVerb, STOP_TIMEOUT_SECONDS } from './actions.js';

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
  states,
  specifications,
}: {
  agents: AgentGateway;
  states: ServerStates;
  specifications: Specifications;
}): GiveOrder {
  return async function order({ serverId, nodeId, verb, ...options }: PowerOrder): Promise<void> {
    if (!agents.isConnected(nodeId)) throw new AppError('node.offline');
    const commandId = randomUUID();
    const timeoutSeconds = options.timeoutSeconds ?? STOP_TIMEOUT_SECONDS;
    // Before the action is taken: between taking it and handing it over nothing may come in between.
    const message = await commandMessage({ serverId, nodeId, verb, commandId, timeoutSeconds });
    requireAcceptable(message);
    requireNetworks(message, agents.hasCapability(nodeId, Capability.networks));
    const entry = auditEntry(verb, options);
    const changed = await states.change(
      serverId,
      (server) => {
        // Given to another node this very moment.
        if (server.nodeId !== nodeId) throw new AppError('server.busy');
        return begin(server, {
          verb,
          commandId,
          timeoutSeconds,
          hasCrashPolicy: agents.hasCapability(nodeId, Capability.crashPolicy),
          whileSuspended: options.whileSuspended ?? 'blocked',
          now: new Date(),
        });
      },
      { actor: options.actor, entry },
    );
    if (!changed) throw new AppError('server.not_found');
    try {
      agents.send(nodeId, message);
    } catch (error) {
      const metadata = { ...entry.metadata, takenBack: 'The node went offline.' };
      await states.change(serverId, (server) => takeBack(server, changed, commandId), {
        actor: options.actor,
        entry: { ...entry, metadata },
      });
      throw error;
    }
  };

  async function commandMessage(command: {
    serverId: string;
    nodeId: string;
    verb: PowerVerb;
    commandId: string;
    timeoutSeconds: number;
  }): Promise<PanelMessage> {
    const { serverId, nodeId, verb } = command;
    const specification = await specifications.of(serverId);
    const hasResults = agents.hasCapability(nodeId, Capability.commandResults);
    const commandId = hasResults ? { commandId: command.commandId } : {};
    const { serverUuid } = specification;
    const address = { serverId, serverUuid, suspended: false, ...commandId };
    switch (verb) {
      case 'install':
        return { ...specification, ...commandId, type: 'install_server' };
      case 'start':
        return { ...specification, ...commandId, type: 'start_server' };
      case 'restart':
        return { ...specification, ...commandId, type: 'restart_server' };
      case 'stop':
        return { ...address, type: 'stop_server', timeoutSeconds: command.timeoutSeconds };
      case 'kill':
        // Documented agents know no kill; asking them to stop is the most that can be said.
        return { ...address, type: hasResults ? 'kill_server' : 'stop_server' };
    }
  }
}

/** Without it the game would run, without the address that its players know. */
function requireNetworks(message: PanelMessage, hasNetworks: boolean): void {
  if (hasNetworks || !('network' in message) || !message.network) return;
  throw new AppError(
    'agent.rejected',
    'The agent of this node is too old for servers with an address of their own: update it.',
  );
}

/** An agent drops what is too long for it and says nothing: values can make a command longer than any template. */
function requireAcceptable(message: PanelMessage): void {
  const issue = PanelMessage.safeParse(message).error?.issues[0];
  const isTooLarge = Buffer.byteLength(JSON.stringify(message)) > PANEL_FRAME_MAX_BYTES;
  if (!issue && !isTooLarge) return;
  const problem = issue ? `${issue.path.join('.')}: ${issue.message}` : 'together they are too long';
  throw new AppError('server.variable_invalid', `The values of the variables do not fit: ${problem}`);
}

function auditEntry(
  verb: PowerVerb,
  { action, because, timeoutSeconds }: Pick<PowerOrder, 'action' | 'because' | 'timeoutSeconds'>,
): StateAudit['entry'] {
  return { action: action ?? `server.${verb}`, metadata: withoutUndefined({ because, timeoutSeconds }) };
}

/** As it was, but for what somebody else has done to it meanwhile. */
function takeBack(
  server: ServerState,
  { before, after }: { before: ServerState; after: ServerState },
  commandId: string,
): ServerState | null {
  const isOurs = after.activeCommandId === commandId && server.activeCommandId === commandId;
  const { suspendedAt, suspendedByUserId, suspensionReason, deletionRequestedAt } = server;
  return isOurs ? { ...before, suspendedAt, suspendedByUserId, suspensionReason, deletionRequestedAt } : null;
}
