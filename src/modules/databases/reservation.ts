import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import type { Secrets } from '../../lib/secrets.js';
import type { Account } from './session.js';
import type { StoredDatabase } from './stored.js';

type Transaction = Prisma.TransactionClient;

/**
 * The row comes first: from now on the name is taken, the limits count it, and whatever becomes of this panel,
 * the clean-up knows what there may be on the host. The rows of the server and the host are locked until the commit,
 * in this order, so that no two requests pass a limit together.
 */
export async function reserve(
  { prisma, secrets }: { prisma: PrismaClient; secrets: Secrets },
  { serverId, hostId, account }: { serverId: string; hostId: string; account: Account },
): Promise<{ stored: StoredDatabase; serverName: string }> {
  const { password, ...fields } = account;
  try {
    return await prisma.$transaction(async (transaction) => {
      const serverName = await requireServerRoom(transaction, serverId);
      await requireHostRoom(transaction, hostId);
      await requireFreeName(transaction, hostId, fields.name);
      const stored = await transaction.serverDatabase.create({
        data: { ...fields, serverId, hostId, passwordEncrypted: secrets.seal(password) },
        include: { host: true },
      });
      return { stored, serverName };
    });
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('database.name_taken') : error;
  }
}

interface LockedServer {
  name: string;
  databaseLimit: number;
  suspendedAt: Date | null;
  deletionRequestedAt: Date | null;
}

async function requireServerRoom(transaction: Transaction, serverId: string): Promise<string> {
  const [server] = await transaction.$queryRaw<LockedServer[]>`
    SELECT "name", "databaseLimit", "suspendedAt", "deletionRequestedAt"
    FROM "Server" WHERE "id" = ${serverId} FOR NO KEY UPDATE`;
  if (!server) throw new AppError('server.not_found');
  if (server.deletionRequestedAt) throw new AppError('server.being_deleted');
  if (server.suspendedAt) throw new AppError('server.suspended');
  const count = await transaction.serverDatabase.count({ where: { serverId, state: { not: 'deleting' } } });
  if (count >= server.databaseLimit) {
    const message = `The server may have ${server.databaseLimit} databases and has as many: delete one first.`;
    throw new AppError('database.limit_reached', message);
  }
  return server.name;
}

async function requireHostRoom(transaction: Transaction, hostId: string): Promise<void> {
  const [host] = await transaction.$queryRaw<{ maxDatabases: number | null }[]>`
    SELECT "maxDatabases" FROM "DatabaseHost" WHERE "id" = ${hostId} FOR NO KEY UPDATE`;
  if (!host) throw noSuchHost();
  // What is about to be dropped is still there.
  const count = await transaction.serverDatabase.count({ where: { hostId } });
  if (host.maxDatabases !== null && count >= host.maxDatabases) throw new AppError('database_host.full');
}

/** Names that differ in case only are one name on some hosts, and easily mistaken on the others. */
async function requireFreeName(transaction: Transaction, hostId: string, name: string): Promise<void> {
  const taken = await transaction.$queryRaw<unknown[]>`
    SELECT 1 FROM "ServerDatabase" WHERE "hostId" = ${hostId} AND lower("name") = lower(${name}) LIMIT 1`;
  if (taken.length > 0) throw new AppError('database.name_taken');
}

/** As documented: a wrong id in a body is a bad request. */
export function noSuchHost(): AppError {
  return new AppError('request.invalid', 'body.hostId: there is no such database host');
}
