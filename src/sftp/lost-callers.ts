import type { Pool } from 'pg';
import type { Caller } from './caller.js';

const FIND = `
  SELECT open."place" FROM unnest($1::text[], $2::text[], $3::text[])
    WITH ORDINALITY AS open("userId", "credentialId", "serverId", "place")
  WHERE NOT EXISTS (
    SELECT FROM "User" u WHERE u."id" = open."userId" AND u."disabledAt" IS NULL AND (
      EXISTS (SELECT FROM "ApiKey" k WHERE k."id" = open."credentialId"
        AND (k."expiresAt" IS NULL OR k."expiresAt" > now()))
      OR EXISTS (SELECT FROM "SshKey" k WHERE k."id" = open."credentialId" AND k."userId" = u."id")
      OR EXISTS (SELECT FROM "Session" s WHERE s."id" = open."credentialId"
        AND s."revokedAt" IS NULL AND s."expiresAt" > now()
        AND NOT EXISTS (SELECT FROM "TwoFactor" t WHERE t."userId" = u."id" AND t."confirmedAt" IS NOT NULL))
    )
  ) OR NOT EXISTS (
    SELECT FROM "Server" s
    WHERE s."id" = open."serverId" AND s."suspendedAt" IS NULL AND s."deletionRequestedAt" IS NULL AND (
      s."ownerId" = open."userId"
      OR EXISTS (SELECT FROM "ServerAccess" a WHERE a."serverId" = s."id" AND a."userId" = open."userId"
        AND a."permissions" && ARRAY['file.read', 'file.*', '*'])
      OR EXISTS (SELECT FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
        WHERE ur."userId" = open."userId" AND r."permissions" && ARRAY['file.read', 'file.*', '*'])
    )
  )`;

/** Those of the callers, by their places in the list, who seem to have lost something. One statement for everybody. */
export async function findLostCallers(pool: Pool, callers: readonly Caller[]): Promise<number[]> {
  if (callers.length === 0) return [];
  const { rows } = await pool.query<{ place: string }>({
    name: 'sftp-lost-callers',
    text: FIND,
    values: [
      callers.map(({ userId }) => userId),
      callers.map(({ credentialId }) => credentialId),
      callers.map(({ serverId }) => serverId),
    ],
  });
  return rows.map(({ place }) => Number(place) - 1);
}
