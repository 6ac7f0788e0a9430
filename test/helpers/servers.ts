import type { Panel } from './panel.js';

/** Columns of a server whose deletion is asked for, and stays under way: nobody gets to carry it out. */
export const BEING_DELETED = {
  deletionRequestedAt: new Date(),
  activeAction: 'delete',
  activeActionExpiresAt: new Date(Date.now() + 3_600_000),
} as const;

/** A stored server, without asking anybody: for tests that are about what comes after. */
export async function insertServer(
  panel: Panel,
  fields: { nodeId: string; ownerId: string; templateId?: string } & Record<string, unknown>,
): Promise<{ id: string; uuid: string }> {
  const { nodeId, ownerId, templateId, ...rest } = fields;
  const template = templateId ?? (await panel.createTemplate()).id;
  return panel.context.database.prisma.server.create({
    data: {
      name: 'a server',
      ownerId,
      nodeId,
      templateId: template,
      allocatedMemoryMb: 512,
      allocatedCpuCores: 1,
      allocatedDiskMb: 1024,
      primaryPort: 25_565,
      containerName: 'catalyst-test',
      installedAt: new Date(),
      ...rest,
    },
    select: { id: true, uuid: true },
  });
}

/** As it is in the database. */
export function storedServer(panel: Panel, id: string) {
  return panel.context.database.prisma.server.findUniqueOrThrow({ where: { id } });
}
