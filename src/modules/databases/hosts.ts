import type { Prisma, PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import type { Secrets } from '../../lib/secrets.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type { HostConnections } from './connections.js';
import { answerForAdministrator } from './failure.js';
import type { CreateHostBody, DatabaseHost, UpdateHostBody } from './host-schemas.js';
import { tryOut } from './provision.js';
import type { HostSettings } from './session.js';

export interface DatabaseHosts {
  list(actor: Actor, query: PageQuery): Promise<Page<DatabaseHost>>;
  get(actor: Actor, hostId: string): Promise<DatabaseHost>;
  /** Tried out before it is stored: `database_host.unavailable` or `database_host.unsuitable` say what is wrong. */
  create(actor: Actor, input: CreateHostBody): Promise<DatabaseHost>;
  /**
   * Tried out again when anything changes about how it is reached. Elsewhere, or without TLS any more, it needs the
   * password again: `request.invalid`.
   */
  update(actor: Actor, hostId: string, input: UpdateHostBody): Promise<DatabaseHost>;
  delete(actor: Actor, hostId: string): Promise<void>;
  test(actor: Actor, hostId: string): Promise<{ version: string }>;
}

const DEFAULT_PORTS = { mysql: 3306, postgresql: 5432 } as const;

const COLUMNS = {
  id: true,
  name: true,
  engine: true,
  host: true,
  port: true,
  publicHost: true,
  publicPort: true,
  username: true,
  useTls: true,
  maxDatabases: true,
  createdAt: true,
  updatedAt: true,
  _count: { select: { databases: true } },
} as const satisfies Prisma.DatabaseHostSelect;

type Row = Prisma.DatabaseHostGetPayload<{ select: typeof COLUMNS }>;

export function createDatabaseHosts({
  prisma,
  secrets,
  connections,
}: {
  prisma: PrismaClient;
  secrets: Secrets;
  connections: HostConnections;
}): DatabaseHosts {
  const tryHost = (settings: HostSettings): Promise<string> =>
    connections.use(settings, tryOut).catch((error: unknown) => {
      throw answerForAdministrator(error);
    });

  async function load(hostId: string): Promise<Row & { passwordEncrypted: string }> {
    const select = { ...COLUMNS, passwordEncrypted: true };
    const row = await prisma.databaseHost.findUnique({ where: { id: hostId }, select });
    if (!row) throw new AppError('database_host.not_found');
    return row;
  }

  return {
    async list(actor, query) {
      requirePermission(actor, 'admin.read');
      const [rows, total] = await Promise.all([
        prisma.databaseHost.findMany({
          select: COLUMNS,
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.databaseHost.count(),
      ]);
      return { items: rows.map(present), total };
    },

    async get(actor, hostId) {
      requirePermission(actor, 'admin.read');
      return present(await load(hostId));
    },

    async create(actor, { password, port: givenPort, ...fields }) {
      requirePermission(actor, 'admin.write');
      const port = givenPort ?? DEFAULT_PORTS[fields.engine];
      await tryHost({ ...fields, port, password });
      const data = { ...fields, port, passwordEncrypted: secrets.seal(password) };
      const row = await writing(() =>
        prisma.$transaction(async (transaction) => {
          const created = await transaction.databaseHost.create({ data, select: COLUMNS });
          const { name, engine, host, username } = created;
          const metadata = { name, engine, host, port, username };
          await recordAudit(transaction, actor, {
            action: 'database_host.create',
            ...about(created),
            metadata,
          });
          return created;
        }),
      );
      return present(row);
    },

    async update(actor, hostId, { password, ...given }) {
      requirePermission(actor, 'admin.write');
      const before = await load(hostId);
      const changes = withoutUndefined(given);
      if (isElsewhere(before, changes) && password === undefined) {
        throw new AppError(
          'request.invalid',
          'body.password: has to be given again for another host or port, or to go without TLS',
        );
      }
      if (isReachedDifferently(before, changes) || password !== undefined) {
        const reached = { ...before, ...changes };
        await tryHost({ ...reached, password: password ?? secrets.open(before.passwordEncrypted) });
      }
      const data = {
        ...changes,
        ...(password !== undefined && { passwordEncrypted: secrets.seal(password) }),
      };
      const differences = auditChanges(before, data);
      if (Object.keys(differences.after).length === 0) return present(before);
      const row = await writing(() =>
        prisma.$transaction(async (transaction) => {
          const where = { id: hostId };
          const [changed] = await transaction.databaseHost.updateManyAndReturn({
            where,
            data,
            select: { id: true },
          });
          if (!changed) throw new AppError('database_host.not_found');
          const metadata = { name: before.name, ...differences };
          await recordAudit(transaction, actor, {
            action: 'database_host.update',
            ...about(before),
            metadata,
          });
          return transaction.databaseHost.findUniqueOrThrow({ where, select: COLUMNS });
        }),
      );
      return present(row);
    },

    async delete(actor, hostId) {
      requirePermission(actor, 'admin.write');
      const { name, engine, host, port } = await load(hostId);
      try {
        await prisma.$transaction(async (transaction) => {
          const { count } = await transaction.databaseHost.deleteMany({ where: { id: hostId } });
          if (count === 0) throw new AppError('database_host.not_found');
          const metadata = { name, engine, host, port };
          const entry = { action: 'database_host.delete', ...about({ id: hostId }), metadata } as const;
          await recordAudit(transaction, actor, entry);
        });
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('database_host.in_use') : error;
      }
    },

    async test(actor, hostId) {
      requirePermission(actor, 'admin.write');
      const { passwordEncrypted, ...host } = await load(hostId);
      return { version: await tryHost({ ...host, password: secrets.open(passwordEncrypted) }) };
    },
  };
}

function about({ id }: { id: string }) {
  return { resourceType: 'database_host', resourceId: id };
}

function isReachedDifferently(before: Row, changes: Partial<Row>): boolean {
  const names = ['host', 'port', 'username', 'useTls'] as const;
  return names.some((name) => changes[name] !== undefined && changes[name] !== before[name]);
}

/** The stored password is not told to whoever may only say where the host is. */
function isElsewhere(before: Row, { host, port, useTls }: Partial<Row>): boolean {
  if (before.useTls && useTls === false) return true;
  return (host !== undefined && host !== before.host) || (port !== undefined && port !== before.port);
}

function present({ _count, ...row }: Row): DatabaseHost {
  return { ...row, databaseCount: _count.databases };
}

/** Names are unique: the database says when one is taken. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('database_host.name_taken') : error;
  }
}
