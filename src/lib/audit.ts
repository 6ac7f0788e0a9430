import { isDeepStrictEqual } from 'node:util';
import type { Actor, Origin } from './actor.js';
import { execute, type SqlTransaction } from './transaction.js';

export interface AuditEntry {
  /** `server.start`, `role.update`, … */
  action: `${string}.${string}`;
  /** `server`, `role`, … */
  resourceType: string;
  resourceId: string | null;
  /** Given, the entry is in the activity of this server too. */
  serverId?: string;
  metadata?: Record<string, unknown>;
}

/** Somebody who is not an actor yet: at sign-in and registration. */
export interface AuditSubject {
  kind: 'subject';
  userId: string | null;
  username: string | null;
  origin: Origin;
}

const ADDRESS_MAX_LENGTH = 64;
const USER_AGENT_MAX_LENGTH = 256;
const TEXT_MAX_LENGTH = 500;
const LIST_MAX_LENGTH = 100;

const INSERT = `
  INSERT INTO "AuditLog" ("userId", "username", "apiKeyId", "action", "resourceType", "resourceId", "serverId",
    "metadata", "ipAddress", "userAgent")
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8::jsonb, $9, $10)`;

/** Writes who did what, as part of the transaction that does it: one is never there without the other. */
export async function recordAudit(
  transaction: SqlTransaction,
  who: Actor | AuditSubject,
  entry: AuditEntry,
): Promise<void> {
  const { userId, username, apiKeyId, origin } = identify(who);
  await execute(transaction, INSERT, [
    userId,
    username,
    apiKeyId,
    entry.action,
    entry.resourceType,
    entry.resourceId,
    entry.serverId ?? null,
    JSON.stringify(entry.metadata ?? {}),
    cut(origin?.ipAddress, ADDRESS_MAX_LENGTH),
    cut(origin?.userAgent, USER_AGENT_MAX_LENGTH),
  ]);
}

/**
 * What a change changed, for the metadata: only fields that differ, long texts cut, and of what may be secret
 * nothing but the name of the field.
 * @param after Fields that are undefined were not touched.
 */
export function auditChanges<Row extends object>(
  before: Row,
  after: Partial<Record<keyof Row, unknown>>,
): { before: Record<string, unknown>; after: Record<string, unknown> } {
  const changes = { before: {} as Record<string, unknown>, after: {} as Record<string, unknown> };
  for (const [name, value] of Object.entries(after)) {
    const old = (before as Record<string, unknown>)[name];
    if (value === undefined || isDeepStrictEqual(old, value)) continue;
    changes.before[name] = auditValue(name, old);
    changes.after[name] = auditValue(name, value);
  }
  return changes;
}

/** Passwords of games are in their environment. */
const SECRET = /password|secret|token|hash|encrypted|environment|variables/i;

function auditValue(name: string, value: unknown): unknown {
  if (value === null || value === undefined) return null;
  if (SECRET.test(name)) return '[hidden]';
  if (typeof value === 'string') return cut(value, TEXT_MAX_LENGTH);
  if (Array.isArray(value)) return value.slice(0, LIST_MAX_LENGTH).map((item) => auditValue('', item));
  if (value instanceof Date) return value.toISOString();
  if (typeof value !== 'object') return value;
  const fields = Object.entries(value).slice(0, LIST_MAX_LENGTH);
  return Object.fromEntries(fields.map(([key, field]) => [key, auditValue(key, field)]));
}

function identify(who: Actor | AuditSubject) {
  if (who.kind === 'system') return { userId: null, username: null, apiKeyId: null, origin: null };
  if (who.kind === 'subject') return { ...who, apiKeyId: null };
  const { userId, username, credential, origin } = who;
  return { userId, username, origin, apiKeyId: credential.kind === 'api-key' ? credential.apiKeyId : null };
}

/** PostgreSQL takes no NUL and no half of a character. */
function cut(text: string | undefined, maxLength: number): string | null {
  if (text === undefined) return null;
  const clean = text.replaceAll('\0', '');
  return (clean.length <= maxLength ? clean : `${clean.slice(0, maxLength - 1)}…`).toWellFormed();
}
