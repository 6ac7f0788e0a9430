import type { Pool } from 'pg';
import { type Actor, hasPermission, isLetThrough } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { Page } from '../../lib/schemas.js';
import type { Nodes } from '../nodes/service.js';
import { listStatement, type Reader, readableBy, SUMMARY } from './list.js';
import type { ListServersQuery, ServerDetail, ServerSummary } from './schemas.js';

export interface ServerViews {
  /** Those that the actor may read; oldest first, unless he wants another order. */
  list(actor: Actor, query: ListServersQuery): Promise<Page<ServerSummary>>;
  get(actor: Actor, serverId: string): Promise<ServerDetail>;
  /** Whoever asks: for the answer to a change that was allowed. */
  show(serverId: string): Promise<ServerDetail>;
}

const SHOW = `
  SELECT ${SUMMARY},
    json_build_object('id', u."id", 'username', u."username") AS "owner",
    json_build_object('id', n."id", 'name', n."name", 'hostname', n."hostname") AS "node",
    json_build_object('id', t."id", 'name', t."name", 'dockerImage', t."dockerImage") AS "template",
    s."desiredState", s."statusReason", s."exitCode", s."oomKilled", s."startedAt", s."installedAt", s."environment",
    (SELECT coalesce(json_object_agg(p."containerPort", p."hostPort"), '{}') FROM "Allocation" p
      WHERE p."serverId" = s."id") AS "portBindings",
    (SELECT i."ip" FROM "IpAllocation" i WHERE i."serverId" = s."id") AS "ipAddress",
    s."dockerImage", s."databaseLimit", s."containerId", coalesce(s."networkSent", 0)::float8 AS "networkSent",
    coalesce(s."networkReceived", 0)::float8 AS "networkReceived", coalesce(s."diskUsageMb", 0) AS "diskUsageMb",
    s."crashCount", s."lastCrashAt", s."restartPolicy"::text, s."maxCrashCount", s."suspendedAt",
    s."suspendedByUserId", s."suspensionReason", s."deletionRequestedAt"
  FROM "Server" s
  JOIN "User" u ON u."id" = s."ownerId"
  JOIN "Node" n ON n."id" = s."nodeId"
  JOIN "Template" t ON t."id" = s."templateId"
  WHERE s."id" = $1`;

interface NodeColumns {
  nodeIsOnline: boolean;
  nodeLastSeenAt: Date | null;
}
type ListRow = Omit<ServerSummary, 'statusStale'> &
  NodeColumns & { total: number; sortKey: unknown; id: string | null };
type GetRow = Omit<ServerDetail, 'statusStale'> & NodeColumns;

export function createServerViews({
  pool,
  nodes,
}: {
  pool: Pool;
  nodes: Pick<Nodes, 'isOnline'>;
}): ServerViews {
  function present<Row extends NodeColumns>({ nodeIsOnline, nodeLastSeenAt, ...row }: Row) {
    return { ...row, statusStale: !nodes.isOnline({ isOnline: nodeIsOnline, lastSeenAt: nodeLastSeenAt }) };
  }

  async function load(statement: { name: string; text: string; values: string[] }): Promise<ServerDetail> {
    const { rows } = await pool.query<GetRow>(statement);
    if (!rows[0]) throw new AppError('server.not_found');
    return present(rows[0]);
  }

  return {
    async list(actor, query) {
      const reader = readerFor(actor);
      if (!reader) return { items: [], total: 0 };
      const { rows } = await pool.query<ListRow>(listStatement(reader, query));
      const items = rows
        .filter(({ id }) => id !== null)
        .map(({ total: _total, sortKey: _sortKey, ...row }) => present(row));
      return { items, total: rows[0]?.total ?? 0 };
    },

    async get(actor, serverId) {
      const reader = readerFor(actor);
      if (!reader) throw new AppError('server.not_found');
      if (reader.kind === 'all') return load({ name: 'servers-show', text: SHOW, values: [serverId] });
      const text = `${SHOW} AND ${readableBy('$2')}`;
      return load({ name: 'servers-get', text, values: [serverId, reader.userId] });
    },

    async show(serverId) {
      return load({ name: 'servers-show', text: SHOW, values: [serverId] });
    },
  };
}

/** Null: nobody's, as the API key lets no reading through. */
function readerFor(actor: Actor): Reader | null {
  if (hasPermission(actor, 'server.read')) return { kind: 'all' };
  // The panel itself has every right.
  if (actor.kind === 'system' || !isLetThrough(actor, 'server.read')) return null;
  return { kind: 'user', userId: actor.userId };
}
