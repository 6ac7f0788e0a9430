import type { Pool } from 'pg';

export interface Placement {
  /** The servers on a node, and what was under way with them. */
  placedOn(nodeId: string): Promise<{ serverId: string; activeCommandId: string | null }[]>;
  isPlacedOn(nodeId: string, serverId: string): Promise<boolean>;
}

export function createPlacement({ pool }: { pool: Pool }): Placement {
  return {
    async placedOn(nodeId) {
      const { rows } = await pool.query<{ serverId: string; activeCommandId: string | null }>(
        `SELECT "id" AS "serverId", "activeCommandId" FROM "Server" WHERE "nodeId" = $1`,
        [nodeId],
      );
      return rows;
    },
    async isPlacedOn(nodeId, serverId) {
      const { rows } = await pool.query(`SELECT FROM "Server" WHERE "id" = $1 AND "nodeId" = $2`, [
        serverId,
        nodeId,
      ]);
      return rows.length > 0;
    },
  };
}
