/** SQL: what the roles of the user `u` give, each right or wildcard once. */
export const ROLE_PERMISSIONS = `ARRAY(
    SELECT DISTINCT unnest(r."permissions")
    FROM "UserRole" ur JOIN "Role" r ON r."id" = ur."roleId"
    WHERE ur."userId" = u."id"
  )`;
