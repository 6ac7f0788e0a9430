import type { Pool } from 'pg';

const FIND = `
  SELECT "id" FROM unnest($1::text[]) AS open("id")
  WHERE NOT EXISTS (
    SELECT FROM "Session" s JOIN "User" u ON u."id" = s."userId"
    WHERE s."id" = open."id" AND s."revokedAt" IS NULL AND s."expiresAt" > now() AND u."disabledAt" IS NULL
  ) AND NOT EXISTS (
    SELECT FROM "ApiKey" k JOIN "User" u ON u."id" = k."userId"
    WHERE k."id" = open."id" AND (k."expiresAt" IS NULL OR k."expiresAt" > now()) AND u."disabledAt" IS NULL
  )`;

/** Which of these sessions and API keys were revoked, have expired, or belong to an account that is gone or disabled. */
export async function findEndedCredentials(pool: Pool, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const { rows } = await pool.query<{ id: string }>({
    name: 'ended-credentials',
    text: FIND,
    values: [ids],
  });
  return new Set(rows.map(({ id }) => id));
}
