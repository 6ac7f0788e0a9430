import { escapeLike } from '../../lib/like.js';
import { CPU_USAGE, MEMORY_USAGE, SHOWN_STATUS } from '../../lib/server-status.js';
import type { ListServersQuery } from './schemas.js';

/** Who looks: somebody whose role lets him read every server, or one user with what he owns or is a member of. */
export type Reader = { kind: 'all' } | { kind: 'user'; userId: string };

export interface ListStatement {
  text: string;
  values: unknown[];
  /** There are too many combinations of filters for each to be kept prepared on every connection. */
  name?: string;
}

export const SUMMARY = `s."id", s."uuid", s."name", s."description", s."ownerId", s."nodeId", s."templateId",
  ${SHOWN_STATUS} AS "status", n."isOnline" AS "nodeIsOnline", n."lastSeenAt" AS "nodeLastSeenAt",
  s."allocatedMemoryMb", s."allocatedCpuCores", s."allocatedDiskMb", s."primaryPort", s."networkMode",
  s."containerName", ${CPU_USAGE} AS "cpuUsage", ${MEMORY_USAGE} AS "memoryUsageMb", s."createdAt", s."updatedAt"`;

const SORT_KEYS: Record<NonNullable<ListServersQuery['sort']>, string> = {
  name: 'lower(s."name")',
  status: SHOWN_STATUS,
  createdAt: 's."createdAt"',
  updatedAt: 's."updatedAt"',
  allocatedMemoryMb: 's."allocatedMemoryMb"',
  cpuUsage: CPU_USAGE,
  memoryUsageMb: MEMORY_USAGE,
};

/** Servers that a user owns or may read as a member, whose lists know the two wildcards; by index both. */
export function readableBy(parameter: string): string {
  return `s."id" IN (
    SELECT o."id" FROM "Server" o WHERE o."ownerId" = ${parameter}
    UNION ALL
    SELECT a."serverId" FROM "ServerAccess" a
    WHERE a."userId" = ${parameter} AND a."permissions" && ARRAY['server.read', 'server.*', '*'])`;
}

/**
 * A page of the list with its total in each row; one row even for a page without servers, so that the total is
 * always there. The condition is in it twice rather than once in a common table, which PostgreSQL would fill with
 * every server before it takes the few of the page.
 */
export function listStatement(reader: Reader, query: ListServersQuery): ListStatement {
  const { sort = 'createdAt', order = 'asc', page, limit } = query;
  const values: unknown[] = [];
  const parameter = (value: unknown) => `$${values.push(value)}`;
  const filters = filterConditions(query, parameter);
  const conditions = [...(reader.kind === 'user' ? [readableBy(parameter(reader.userId))] : []), ...filters];
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  const key = SORT_KEYS[sort];
  const range = `LIMIT ${parameter(limit)} OFFSET ${parameter((page - 1) * limit)}`;
  const text = `
    SELECT counted."total", page.*
    FROM (SELECT count(*)::int AS "total" FROM "Server" s ${where}) counted
    LEFT JOIN (
      SELECT ${SUMMARY}, chosen."sortKey"
      FROM (
        SELECT s."id", ${key} AS "sortKey" FROM "Server" s ${where} ORDER BY ${key} ${order}, s."id" ${order} ${range}
      ) chosen
      JOIN "Server" s ON s."id" = chosen."id"
      JOIN "Node" n ON n."id" = s."nodeId"
    ) page ON true
    ORDER BY page."sortKey" ${order}, page."id" ${order}`;
  return filters.length > 0
    ? { text, values }
    : { text, values, name: `servers-list-${reader.kind}-${sort}-${order}` };
}

function filterConditions(query: ListServersQuery, parameter: (value: unknown) => string): string[] {
  const { nodeId, ownerId, templateId, locationId, status, search } = query;
  const conditions: string[] = [];
  if (nodeId) conditions.push(`s."nodeId" = ${parameter(nodeId)}`);
  if (ownerId) conditions.push(`s."ownerId" = ${parameter(ownerId)}`);
  if (templateId) conditions.push(`s."templateId" = ${parameter(templateId)}`);
  if (locationId) {
    conditions.push(`s."nodeId" IN (SELECT "id" FROM "Node" WHERE "locationId" = ${parameter(locationId)})`);
  }
  if (status) conditions.push(`${SHOWN_STATUS} = ${parameter(status)}`);
  if (search) {
    const pattern = parameter(`%${escapeLike(search)}%`);
    const columns = ['s."name"', 's."description"', 's."uuid"::text', 's."id"'];
    conditions.push(`(${columns.map((column) => `${column} ILIKE ${pattern}`).join(' OR ')})`);
  }
  return conditions;
}
