import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import type { Secrets } from '../../lib/secrets.js';
import type { Database } from './schemas.js';
import type { Account, HostSettings } from './session.js';

const WITH_HOST = { host: true } as const satisfies Prisma.ServerDatabaseInclude;
type StoredHost = Prisma.DatabaseHostGetPayload<object>;
export type StoredDatabase = Prisma.ServerDatabaseGetPayload<{ include: typeof WITH_HOST }>;

/** A database that a server has, with its host. Of another server, or not there (any more): `database.not_found`. */
export async function loadReady(
  prisma: PrismaClient,
  { serverId, databaseId }: { serverId: string; databaseId: string },
): Promise<StoredDatabase> {
  const where = { id: databaseId, serverId, state: 'ready' } as const;
  const stored = await prisma.serverDatabase.findFirst({ where, include: WITH_HOST });
  if (!stored) throw new AppError('database.not_found');
  return stored;
}

export function settingsOf(host: StoredHost, secrets: Secrets): HostSettings {
  const { engine, host: address, port, username, useTls, passwordEncrypted } = host;
  return { engine, host: address, port, username, useTls, password: secrets.open(passwordEncrypted) };
}

export function accountOf(stored: Omit<StoredDatabase, 'host'>, secrets: Secrets): Account {
  const { name, username, remote, maxConnections, passwordEncrypted } = stored;
  return { name, username, remote, maxConnections, password: secrets.open(passwordEncrypted) };
}

/** As its users see it: with the address that their game servers reach. */
export function presentDatabase(stored: StoredDatabase, password: string): Database {
  const { id, name, username, hostId, host, createdAt } = stored;
  return {
    id,
    name,
    username,
    password,
    host: host.publicHost ?? host.host,
    port: host.publicPort ?? host.port,
    hostId,
    hostName: host.name,
    createdAt,
  };
}

/** What an audit row says of a database. */
export function auditOf(stored: StoredDatabase, serverName: string) {
  const { id, name, username, remote, host } = stored;
  return {
    resourceType: 'database',
    resourceId: id,
    metadata: { serverName, name, username, remote, hostName: host.name },
  };
}
