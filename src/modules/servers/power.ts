import { randomUUID } from 'node:crypto';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import { Capability, PanelMessage } from '../../protocol/agent-messages.js';
import { PANEL_FRAME_MAX_BYTES } from '../../protocol/limits.js';
import type { ServerAccess } from './access.js';
import { begin, type PowerVerb, STOP_TIMEOUT_SECONDS } from './actions.js';
import type { Specifications } from './specification.js';
import type { ServerState, ServerStates } from './state.js';

export interface Power {
  /** Resolves when the command has been handed to the agent. */
  power(
    actor: Actor,
    serverId: string,
    verb: PowerVerb,
    options?: { timeoutSeconds?: number | undefined },
  ): Promise<void>;
}

export interface PowerOrder {
  serverId: string;
  nodeId: string;
  verb: PowerVerb;
  timeoutSeconds?: number | undefined;
  whileSuspended?: 'allowed' | 'blocked';
}

type GiveOrder = (order: PowerOrder) => Promise<void>;

/** For users: asks whether they may. */
export function createPower({ access, order }: { access: ServerAccess; order: GiveOrder }): Power {
  return {
    async power(actor, serverId, verb, options) {
      const server = await access.authorise(actor, serverId, `server.${verb}`);
      await order({ serverId, nodeId: server.nodeId, verb, timeoutSeconds: options?.timeoutSeconds });
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
    const changed = await states.change(serverId, (server) =>
      begin(server, {
        verb,
        commandId,
        timeoutSeconds,
        hasCrashPolicy: agents.hasCapability(nodeId, Capability.crashPolicy),
        whileSuspended: options.whileSuspended ?? 'blocked',
        now: new Date(),
      }),
    );
    if (!changed) throw new AppError('server.not_found');
    try {
      agents.send(nodeId, message);
    } catch (error) {
      await states.change(serverId, (server) => takeBack(server, changed, commandId));
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

/** An agent drops what is too long for it and says nothing: values can make a command longer than any template. */
function requireAcceptable(message: PanelMessage): void {
  const issue = PanelMessage.safeParse(message).error?.issues[0];
  const isTooLarge = Buffer.byteLength(JSON.stringify(message)) > PANEL_FRAME_MAX_BYTES;
  if (!issue && !isTooLarge) return;
  const problem = issue ? `${issue.path.join('.')}: ${issue.message}` : 'together they are too long';
  throw new AppError('server.variable_invalid', `The values of the variables do not fit: ${problem}`);
}

function takeBack(
  server: ServerState,
  { before, after }: { before: ServerState; after: ServerState },
  commandId: string,
): ServerState | null {
  const isOurs = after.activeCommandId === commandId && server.activeCommandId === commandId;
  return isOurs ? before : null;
}
