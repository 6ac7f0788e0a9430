import { randomUUID } from 'node:crypto';
import type { Pool } from 'pg';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { ServerStatus } from '../../generated/prisma/enums.js';
import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import { inTransaction } from '../../lib/transaction.js';
import { Capability, type PanelMessage } from '../../protocol/agent-messages.js';
import { CONSOLE_COMMAND_MAX_LENGTH } from '../../protocol/limits.js';
import type { Nodes } from '../nodes/service.js';
import type { AccessibleServer, ServerAccess } from '../servers/access.js';

const TAKES_INPUT: ReadonlySet<ServerStatus> = new Set<ServerStatus>(['starting', 'running', 'stopping']);

export interface ConsoleCommands {
  /**
   * Hands one command to the server's agent. Throws `server.not_found`, `permission.denied`, `server.suspended`,
   * `server.not_running`, `node.offline`, `request.invalid`.
   */
  sendCommand(actor: Actor, serverId: string, command: string): Promise<void>;
  /** The same for what somebody types; a missing line end is added. */
  sendInput(actor: Actor, serverId: string, data: string): Promise<void>;
}

const FIRST_WORD_MAX_LENGTH = 64;

export function createCommands({
  pool,
  access,
  agents,
  nodes,
}: {
  pool: Pool;
  access: ServerAccess;
  agents: AgentGateway;
  nodes: Pick<Nodes, 'absence'>;
}): ConsoleCommands {
  async function authorise(actor: Actor, serverId: string, text: string): Promise<AccessibleServer> {
    const server = await access.authorise(actor, serverId, 'server.console');
    if (text.includes('\0'))
      throw new AppError('request.invalid', 'A command cannot contain a NUL character.');
    if (!agents.isConnected(server.nodeId)) throw await nodes.absence(server.nodeId);
    if (!TAKES_INPUT.has(server.status)) throw new AppError('server.not_running');
    return server;
  }

  /** It is in the audit log if, and only if, it was handed to the agent. */
  async function send(
    actor: Actor,
    { id, name, nodeId }: AccessibleServer,
    text: string,
    message: PanelMessage,
  ): Promise<void> {
    await inTransaction(pool, async (client) => {
      await recordAudit(client, actor, {
        action: 'server.command',
        resourceType: 'server',
        resourceId: id,
        serverId: id,
        metadata: { serverName: name, ...describe(text) },
      });
      agents.send(nodeId, message);
    });
  }

  return {
    async sendCommand(actor, serverId, command) {
      const server = await authorise(actor, serverId, command);
      if (/[\r\n]/.test(command)) throw new AppError('request.invalid', 'Send one command at a time.');
      const withId = agents.hasCapability(server.nodeId, Capability.commandResults);
      await send(actor, server, command, {
        type: 'execute_command',
        serverId,
        serverUuid: server.uuid,
        command,
        ...(withId && { commandId: randomUUID() }),
      });
    },
    async sendInput(actor, serverId, data) {
      const server = await authorise(actor, serverId, data);
      const line = data.endsWith('\n') ? data : `${data}\n`;
      if (line.length > CONSOLE_COMMAND_MAX_LENGTH) {
        throw new AppError(
          'request.invalid',
          `A command has at most ${CONSOLE_COMMAND_MAX_LENGTH - 1} characters.`,
        );
      }
      await send(actor, server, data, { type: 'console_input', serverId, data: line });
    },
  };
}

/** Passwords are typed into consoles: no more than what kind of a command it was. */
function describe(text: string): { command: string; length: number } {
  const [firstWord = ''] = text.trim().split(/\s/, 1);
  return { command: firstWord.slice(0, FIRST_WORD_MAX_LENGTH).toWellFormed(), length: text.trim().length };
}
