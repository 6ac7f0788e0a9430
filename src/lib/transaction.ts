import type { Pool, PoolClient } from 'pg';
import { isDatabaseUnavailable } from './database-errors.js';

/** Runs the work in one transaction: committed when it resolves, rolled back when it rejects. */
export async function inTransaction<Result>(
  pool: Pool,
  work: (client: PoolClient) => Promise<Result>,
): Promise<Result> {
  const client = await pool.connect();
  // A connection that is lost says so twice: the query rejects, and the client emits what would end the process.
  client.on('error', ignore);
  try {
    await client.query('BEGIN');
    const result = await work(client);
    await client.query('COMMIT');
    release(client, true);
    return result;
  } catch (error) {
    release(client, await canGoOn(client, error));
    throw error;
  }
}

/** A connection that cannot even roll back is not given to anybody else, and a dead one is not waited for. */
async function canGoOn(client: PoolClient, error: unknown): Promise<boolean> {
  if (isDatabaseUnavailable(error)) return false;
  return client.query('ROLLBACK').then(
    () => true,
    () => false,
  );
}

function release(client: PoolClient, isUsable: boolean): void {
  client.off('error', ignore);
  client.release(!isUsable);
}

function ignore(): void {}
