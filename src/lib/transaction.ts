import type { Pool, PoolClient } from 'pg';
import { isDatabaseUnavailable } from './database-errors.js';

/** A transaction of Prisma, to code that does not know the tables. */
export interface PrismaTransaction {
  $executeRawUnsafe(statement: string, ...values: unknown[]): PromiseLike<unknown>;
  $queryRawUnsafe<Result>(statement: string, ...values: unknown[]): PromiseLike<Result>;
}

/** A transaction, of Prisma or of `pg`. */
export type SqlTransaction =
  | Pick<PrismaTransaction, '$executeRawUnsafe'>
  | { query(statement: string, values: unknown[]): Promise<unknown> };

/** Runs a statement in whichever of the two it is. */
export async function execute(
  transaction: SqlTransaction,
  statement: string,
  values: unknown[],
): Promise<void> {
  if ('query' in transaction) await transaction.query(statement, values);
  else await transaction.$executeRawUnsafe(statement, ...values);
}

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
