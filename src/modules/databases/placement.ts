import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import { noSuchHost } from './reservation.js';
import type { CreateDatabaseBody } from './schemas.js';

type Host = Prisma.DatabaseHostGetPayload<object>;

/** The host that was asked for, or the one with the fewest databases that has room. */
export async function chooseHost(
  prisma: PrismaClient,
  { hostId, remote }: CreateDatabaseBody,
): Promise<Host> {
  const host = hostId === undefined ? await emptiest(prisma, remote) : await named(prisma, hostId);
  if (host.engine === 'postgresql' && remote !== '%') {
    throw new AppError(
      'request.invalid',
      'body.remote: PostgreSQL decides by itself who may connect, only % is possible',
    );
  }
  return host;
}

async function named(prisma: PrismaClient, hostId: string): Promise<Host> {
  const host = await prisma.databaseHost.findUnique({ where: { id: hostId } });
  if (!host) throw noSuchHost();
  return host;
}

async function emptiest(prisma: PrismaClient, remote: string): Promise<Host> {
  const [found] = await prisma.$queryRaw<{ id: string }[]>`
    SELECT h."id" FROM "DatabaseHost" h LEFT JOIN "ServerDatabase" d ON d."hostId" = h."id"
    WHERE h."engine" = 'mysql' OR ${remote} = '%'
    GROUP BY h."id"
    HAVING h."maxDatabases" IS NULL OR count(d."id") < h."maxDatabases"
    ORDER BY count(d."id"), h."name" LIMIT 1`;
  if (!found) {
    throw new AppError('database_host.full', 'No database host has room for another database at the moment.');
  }
  return named(prisma, found.id);
}
