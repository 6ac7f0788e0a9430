import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import { reasonOf } from './failure.js';
import type { DatabaseDependencies } from './service.js';
import { accountOf, auditOf, loadReady, type StoredDatabase, settingsOf } from './stored.js';

export interface DatabaseRemoval {
  /**
   * With a host that does not answer nothing changes. Once it has answered, the database is gone for its users;
   * what cannot be dropped at once, the clean-up drops.
   */
  delete(actor: Actor, serverId: string, databaseId: string): Promise<void>;
}

export function createDatabaseRemoval({
  prisma,
  secrets,
  connections,
  access,
  answering,
  log,
}: DatabaseDependencies): DatabaseRemoval {
  async function markDeleting(actor: Actor, serverId: string, stored: StoredDatabase): Promise<void> {
    await prisma.$transaction(async (transaction) => {
      const { count } = await transaction.serverDatabase.updateMany({
        where: { id: stored.id, serverId, state: 'ready' },
        data: { state: 'deleting', stateChangedAt: new Date() },
      });
      if (count === 0) throw new AppError('database.not_found');
      const server = await transaction.server.findUnique({ where: { id: serverId }, select: { name: true } });
      const about = auditOf(stored, server?.name ?? '');
      await recordAudit(transaction, actor, { action: 'database.delete', ...about, serverId });
    });
  }

  return {
    async delete(actor, serverId, databaseId) {
      await access.authorise(actor, serverId, 'database.delete');
      const stored = await loadReady(prisma, { serverId, databaseId });
      await answering(stored.hostId, () =>
        connections.use(settingsOf(stored.host, secrets), async (session) => {
          await markDeleting(actor, serverId, stored);
          try {
            const isOurs = await session.remove(accountOf(stored, secrets));
            if (!isOurs) {
              const about = { databaseId, hostId: stored.hostId, name: stored.name };
              log.warn(about, 'left a database alone that may not be ours');
            }
            await prisma.serverDatabase.deleteMany({ where: { id: stored.id, state: 'deleting' } });
          } catch (error) {
            log.warn(
              { databaseId, hostId: stored.hostId, reason: reasonOf(error) },
              'a database is left to the clean-up',
            );
          }
        }),
      );
    },
  };
}
