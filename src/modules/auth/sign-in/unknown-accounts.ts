import { createHmac, hkdfSync } from 'node:crypto';
import type { Pool } from 'pg';

/** More make no difference to how long an attempt waits. */
const COUNTED_MAX = 10;
const RESOURCE_TYPE = 'unknown_email';

const FIND = `
  SELECT extract(epoch FROM clock_timestamp() - "createdAt")::float8 * 1000 AS "ageMs"
  FROM "AuditLog" WHERE "resourceType" = $1 AND "resourceId" = $2 ORDER BY "id" DESC LIMIT $3`;

/**
 * Failed logins with e-mails that no account has, counted as those of accounts are: by what the audit log, which all
 * panels share, has of them. There they are told apart by marks that say nothing without the key.
 * @param keyMaterial Any secret text; the key of the marks is derived from it.
 */
export function createUnknownAccounts({
  pool,
  keyMaterial,
  forgetAfterMs,
}: {
  pool: Pool;
  keyMaterial: string;
  forgetAfterMs: number;
}) {
  const markKey = Buffer.from(hkdfSync('sha256', keyMaterial, '', 'catalyst unknown e-mails', 32));

  function markOf(emailKey: string): string {
    return createHmac('sha256', markKey).update(emailKey).digest('hex');
  }

  return {
    /** One after the other, each soon enough after the one before. */
    async failures(emailKey: string): Promise<number> {
      const { rows } = await pool.query<{ ageMs: number }>({
        name: 'unknown-email',
        text: FIND,
        values: [RESOURCE_TYPE, markOf(emailKey), COUNTED_MAX],
      });
      const end = rows.findIndex(({ ageMs }, index) => ageMs - (rows[index - 1]?.ageMs ?? 0) > forgetAfterMs);
      return end === -1 ? rows.length : end;
    },

    /** What the entry of a failed login in the audit log is about. */
    resource(emailKey: string): { resourceType: string; resourceId: string } {
      return { resourceType: RESOURCE_TYPE, resourceId: markOf(emailKey) };
    },
  };
}
