import type { PrismaClient } from '../../generated/prisma/client.js';
import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import { chooseHost } from './placement.js';
import { newAccount, provision } from './provision.js';
import { reserve } from './reservation.js';
import type { CreateDatabaseBody, Database } from './schemas.js';
import type { DatabaseDependencies } from './service.js';
import type { HostSession } from './session.js';
import { auditOf, presentDatabase, type StoredDatabase, settingsOf } from './stored.js';

export interface DatabaseCreation {
  create(actor: Actor, serverId: string, input: CreateDatabaseBody): Promise<Database>;
}

export function createDatabaseCreation(dependencies: DatabaseDependencies): DatabaseCreation {
  const { prisma, secrets, connections, access, answering } = dependencies;

  async function createOn(session: HostSession, hostId: string, options: CreationOptions): Promise<Database> {
    const { actor, serverId, input } = options;
    const account = newAccount(input);
    // Before there is a row: what the clean-up finds under the name was not there before.
    await session.requireAbsent(account);
    const { stored, serverName } = await reserve(dependencies, { serverId, hostId, account });
    const failed = await provision(session, account);
    if (failed) {
      // Otherwise the row stays for the clean-up. Not now: the host may be about to make what it was told to.
      if (failed.isUndone) await forget(prisma, stored);
      throw failed.error;
    }
    if (!(await finish(prisma, { actor, stored, serverName }))) {
      await session.remove(account);
      await forget(prisma, stored);
      throw new AppError('server.not_found');
    }
    return presentDatabase(stored, account.password);
  }

  return {
    async create(actor, serverId, input) {
      await access.authorise(actor, serverId, 'database.create');
      const host = await chooseHost(prisma, input);
      return answering(host.id, () =>
        connections.use(settingsOf(host, secrets), (session) =>
          createOn(session, host.id, { actor, serverId, input }),
        ),
      );
    },
  };
}

interface CreationOptions {
  actor: Actor;
  serverId: string;
  input: CreateDatabaseBody;
}

/** False: its server has been deleted, or the clean-up was faster than a panel that had stopped for minutes. */
function finish(
  prisma: PrismaClient,
  { actor, stored, serverName }: { actor: Actor; stored: StoredDatabase; serverName: string },
): Promise<boolean> {
  const { id, serverId } = stored;
  return prisma.$transaction(async (transaction) => {
    const { count } = await transaction.serverDatabase.updateMany({
      where: { id, serverId, state: 'creating' },
      data: { state: 'ready', stateChangedAt: new Date() },
    });
    if (count === 0) return false;
    const about = { ...auditOf(stored, serverName), ...(serverId !== null && { serverId }) };
    await recordAudit(transaction, actor, { action: 'database.create', ...about });
    return true;
  });
}

async function forget(prisma: PrismaClient, { id }: StoredDatabase): Promise<void> {
  await prisma.serverDatabase.deleteMany({ where: { id } });
}
