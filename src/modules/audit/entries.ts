import type { Pool } from 'pg';
import { formatMicroseconds, parseMicroseconds } from '../../lib/timestamps.js';
import { findActions } from './actions.js';
import type { AuditLogEntry, AuditLogQuery } from './schemas.js';

export interface AuditPage {
  entries: AuditLogEntry[];
  /** Null: there are no older ones. */
  nextBefore: string | null;
}

type Row = Omit<AuditLogEntry, 'createdAt'> & { microseconds: string };

const COLUMNS = `"id"::text AS "id", "userId", "username", "apiKeyId", "action", "resourceType", "resourceId",
  "serverId", "metadata", "ipAddress", "userAgent", (extract(epoch FROM "createdAt") * 1000000)::bigint::text AS "microseconds"`;

/** Two entries whose order by number is not that of their times are less than this apart. */
const DISORDER_MAX = `interval '1 minute'`;

/**
 * The newest entries that the query asks for, newest first. Whatever it asks for, an index that ends in the number is
 * walked backwards, or the table's own: times become numbers first, and the beginning of actions the actions.
 */
export async function readEntries(pool: Pool, query: AuditLogQuery): Promise<AuditPage> {
  const values: unknown[] = [];
  const actions = query.action === undefined ? null : await findActions(pool, query.action);
  const conditions = conditionsOf({ ...query, actions }, (value) => `$${values.push(value)}`);
  const where = conditions.length > 0 ? `WHERE ${conditions.join(' AND ')}` : '';
  // One more than asked for tells whether there is another page.
  const { rows } = await pool.query<Row>(
    `SELECT ${COLUMNS} FROM "AuditLog" a ${where} ORDER BY a."id" DESC LIMIT $${values.push(query.limit + 1)}`,
    values,
  );
  const entries = rows.slice(0, query.limit).map(toEntry);
  return { entries, nextBefore: rows.length > query.limit ? (entries.at(-1)?.id ?? null) : null };
}

function conditionsOf(
  query: AuditLogQuery & { actions: string[] | null },
  parameter: (value: unknown) => string,
): string[] {
  const { before, actions, from, to } = query;
  const conditions: string[] = [];
  for (const column of ['userId', 'resourceType', 'resourceId', 'serverId'] as const) {
    if (query[column] !== undefined) conditions.push(`a."${column}" = ${parameter(query[column])}`);
  }
  if (actions) conditions.push(`a."action" = ANY(${parameter(actions)}::text[])`);
  const isId = before !== undefined && /^\d+$/.test(before);
  if (isId) conditions.push(`a."id" < ${parameter(before)}`);
  else if (before !== undefined) conditions.push(isOlder(parameter(toTimestamp(before))));
  if (to !== undefined) conditions.push(isOlder(parameter(toTimestamp(to))));
  if (from !== undefined) conditions.push(isNotOlder(parameter(toTimestamp(from))));
  return conditions;
}

function isOlder(time: string): string {
  return `a."createdAt" < ${time}::timestamptz AND a."id" <= (
    SELECT "id" FROM "AuditLog" WHERE "createdAt" < ${time}::timestamptz + ${DISORDER_MAX}
    ORDER BY "createdAt" DESC LIMIT 1)`;
}

function isNotOlder(time: string): string {
  return `a."createdAt" >= ${time}::timestamptz AND a."id" >= (
    SELECT "id" FROM "AuditLog" WHERE "createdAt" >= ${time}::timestamptz - ${DISORDER_MAX}
    ORDER BY "createdAt" LIMIT 1)`;
}

/** One that PostgreSQL can hold, whatever year was asked for. */
function toTimestamp(text: string): string {
  return formatMicroseconds(parseMicroseconds(text));
}

function toEntry({ microseconds, ...row }: Row): AuditLogEntry {
  return { ...row, createdAt: formatMicroseconds(Number(microseconds)) };
}
