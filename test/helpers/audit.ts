import type { Panel } from './panel.js';

/** What the audit log says about a server, oldest first. */
export function serverAudit(panel: Panel, serverId: string) {
  return panel.context.database.prisma.auditLog.findMany({ where: { serverId }, orderBy: { id: 'asc' } });
}

/** The actions alone. */
export async function auditedActions(panel: Panel, serverId: string): Promise<string[]> {
  return (await serverAudit(panel, serverId)).map(({ action }) => action);
}
