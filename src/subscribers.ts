import type { Context } from './context.js';
import type { AgentDoor } from './gateway/socket.js';

/** Who listens to what, as far as it is not the module's own business. Lasts as long as the context. */
export function subscribe({ bus, servers }: Context, doors: { agents: AgentDoor }): void {
  bus.on('server.deleted', ({ serverId }) => doors.agents.forgetServer(serverId));
  bus.on('node.disconnected', ({ nodeId }) => servers.abandonCommands(nodeId));
}
