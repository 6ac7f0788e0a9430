import type { Pool } from 'pg';

const FIND = `
  SELECT "id" FROM unnest($1::text[]) AS open("id")
  WHERE NOT EXISTS (
    SELECT FROM "Session" s JOIN "User" u ON u."id" = s."userId"
    WHERE s."id" = open."id" AND s."revokedAt" IS NULL AND s."expiresAt" > now() AND u."disabledAt" IS NULL
  )`;

/** Which of the sessions were revoked, have expired, or belong to an account that is gone or disabled. */
export async function findEndedSessions(pool: Pool, sessionIds: readonly string[]): Promise<Set<string>> {
  if (sessionIds.length === 0) return new Set();
  const { rows } = await pool.query<{ id: string }>({
    name: 'ended-sessions',
    text: FIND,
    values: [sessionIds],
  });
  return new Set(rows.map(({ id }) => id));
}
