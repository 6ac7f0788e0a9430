import type { Pool } from 'pg';
import { AppError } from './errors.js';
import type { Permission } from './permissions.js';

/** What somebody does on a server goes on by this right of his. */
export interface HeldRight {
  userId: string;
  /** Of the session, API key or SSH key. */
  credentialId: string;
  serverId: string;
  permission: Permission;
  /** It was begun on a suspended server, which allows it. */
  isDespiteSuspension: boolean;
  /** A session does for it only while its user has no second factor. */
  isWithoutSecondFactor?: boolean;
}

const FIND = `
  SELECT "place", "isSignedIn", "isAllowed", s."id" IS NOT NULL AS "isThere", s."status",
    s."suspendedAt" IS NOT NULL AS "isSuspended", s."deletionRequestedAt" IS NOT NULL AS "isBeingDeleted"
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::boolean[])
      WITH ORDINALITY AS held("userId", "credentialId", "serverId", "permission", "isWithoutSecondFactor", "place")
    LEFT JOIN "Server" s ON s."id" = held."serverId"
    CROSS JOIN LATERAL (
      SELECT ARRAY[held."permission", split_part(held."permission", '.', 1) || '.*', '*'] AS "wanted"
    ) AS any_of
    CROSS JOIN LATERAL (
      SELECT EXISTS (SELECT FROM "User" u WHERE u."id" = held."userId" AND u."disabledAt" IS NULL AND (
        EXISTS (SELECT FROM "Session" c WHERE c."id" = held."credentialId"
          AND c."revokedAt" IS NULL AND c."expiresAt" > now()
          AND NOT (held."isWithoutSecondFactor" AND EXISTS (SELECT FROM "TwoFactor" t
            WHERE t."userId" = u."id" AND t."confirmedAt" IS NOT NULL)))
        OR EXISTS (SELECT FROM "ApiKey" c WHERE c."id" = held."credentialId"
          AND (c."expiresAt" IS NULL OR c."expiresAt" > now()))
        OR EXISTS (SELECT FROM "SshKey" c WHERE c."id" = held."credentialId" AND c."userId" = u."id")
      )) AS "isSignedIn"
    ) AS credential
    CROSS JOIN LATERAL (
      SELECT (
        s."ownerId" = held."userId"
        OR EXISTS (SELECT FROM "ServerAccess" a
          WHERE a."serverId" = s."id" AND a."userId" = held."userId" AND a."permissions" && "wanted")
        OR EXISTS (SELECT FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
          WHERE ur."userId" = held."userId" AND r."permissions" && "wanted")
      ) AND NOT EXISTS (SELECT FROM "ApiKey" c
        WHERE c."id" = held."credentialId" AND NOT c."permissions" && "wanted") AS "isAllowed"
    ) AS rights`;

interface Row {
  place: string;
  isSignedIn: boolean;
  isAllowed: boolean | null;
  isThere: boolean;
  isSuspended: boolean;
  isBeingDeleted: boolean;
  status: string | null;
}

/** Which of the rights, by their places in the list, are gone, and what their holders are to be told. One statement. */
export async function findLostRights(
  pool: Pool,
  held: readonly HeldRight[],
): Promise<{ place: number; reason: AppError }[]> {
  if (held.length === 0) return [];
  const { rows } = await pool.query<Row>({
    name: 'held-rights',
    text: FIND,
    values: [
      held.map(({ userId }) => userId),
      held.map(({ credentialId }) => credentialId),
      held.map(({ serverId }) => serverId),
      held.map(({ permission }) => permission),
      held.map(({ isWithoutSecondFactor = false }) => isWithoutSecondFactor),
    ],
  });
  return rows.flatMap((row) => {
    const place = Number(row.place) - 1;
    const right = held[place];
    const reason = right && reasonOf(row, right);
    return reason ? [{ place, reason }] : [];
  });
}

function reasonOf(row: Row, { permission, isDespiteSuspension }: HeldRight): AppError | null {
  if (!row.isSignedIn) return new AppError('auth.invalid_token', 'Your session has ended.');
  if (!row.isThere) return new AppError('server.not_found');
  if (!row.isAllowed) return new AppError('permission.denied');
  if (row.isBeingDeleted) return new AppError('server.being_deleted');
  if (row.isSuspended && !isDespiteSuspension) return new AppError('server.suspended');
  const isOccupied = row.status === 'installing' || row.status === 'transferring';
  if (!isOccupied || permission === 'file.read') return null;
  return new AppError('server.busy', `The server is ${row.status} now: its files are in other hands.`);
}
