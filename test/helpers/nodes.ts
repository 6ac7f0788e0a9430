import type { Panel } from './panel.js';

/** A node as if its agent were connected to some panel, without an agent. */
export async function createOnlineNode(
  panel: Panel,
  { columns, ...fields }: Record<string, unknown> & { columns?: Record<string, unknown> } = {},
): Promise<{ id: string; name: string }> {
  const { id } = await panel.createNode(fields);
  return panel.context.database.prisma.node.update({
    where: { id },
    // Ahead of its time, so that no heartbeat is missed while a slow machine runs a test.
    data: { isOnline: true, lastSeenAt: new Date(Date.now() + 600_000), runtime: 'docker', ...columns },
    select: { id: true, name: true },
  });
}

/** A pool of addresses, without asking anybody. */
export async function insertPool(
  panel: Panel,
  nodeId: string,
  fields: Record<string, unknown> = {},
): Promise<{ id: string; networkName: string }> {
  return panel.context.database.prisma.ipPool.create({
    data: { nodeId, name: 'players', networkName: 'players', cidr: '192.0.2.0/29', ...fields },
    select: { id: true, networkName: true },
  });
}
