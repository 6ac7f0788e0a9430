import type { Actor } from '../../lib/actor.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import type { AvailableHost, Database } from './schemas.js';
import type { DatabaseDependencies } from './service.js';
import { presentDatabase } from './stored.js';

export interface DatabaseViews {
  list(actor: Actor, serverId: string, query: PageQuery): Promise<Page<Database>>;
  /** Where a database for the server can be made. */
  listHosts(actor: Actor, serverId: string, query: PageQuery): Promise<Page<AvailableHost>>;
}

export function createDatabaseViews({ prisma, secrets, access }: DatabaseDependencies): DatabaseViews {
  return {
    async list(actor, serverId, query) {
      await access.authorise(actor, serverId, 'database.read');
      const where = { serverId, state: 'ready' } as const;
      const [rows, total] = await Promise.all([
        prisma.serverDatabase.findMany({
          where,
          include: { host: true },
          orderBy: [{ createdAt: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.serverDatabase.count({ where }),
      ]);
      return {
        items: rows.map((stored) => presentDatabase(stored, secrets.open(stored.passwordEncrypted))),
        total,
      };
    },

    async listHosts(actor, serverId, query) {
      await access.authorise(actor, serverId, 'database.create');
      const [rows, total] = await Promise.all([
        prisma.databaseHost.findMany({
          select: {
            id: true,
            name: true,
            engine: true,
            maxDatabases: true,
            _count: { select: { databases: true } },
          },
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.databaseHost.count(),
      ]);
      const items = rows.map(({ maxDatabases, _count, ...host }) => ({
        ...host,
        hasRoom: maxDatabases === null || _count.databases < maxDatabases,
      }));
      return { items, total };
    },
  };
}
