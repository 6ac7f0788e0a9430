import { PrismaPg } from '@prisma/adapter-pg';
import pg from 'pg';
import { PrismaClient } from '../generated/prisma/client.js';
import type { Log } from '../lib/log.js';

/** Together these keep a request under 5 s when PostgreSQL is gone, hangs or has no connection free. */
const CONNECT_TIMEOUT_MS = 2000;
const STATEMENT_TIMEOUT_MS = 3500;
/** Our own patience, for a server that does not even say that a statement took too long. */
const QUERY_TIMEOUT_MS = 4000;
const TRANSACTION_WAIT_MS = 2000;
const TRANSACTION_TIMEOUT_MS = 10_000;
/** A panel that hangs in a transaction must not hold its locks for ever. */
const IDLE_IN_TRANSACTION_TIMEOUT_MS = 30_000;
const IDLE_TIMEOUT_MS = 60_000;
const KEEP_ALIVE_DELAY_MS = 10_000;

export interface Database {
  prisma: PrismaClient;
  /** For what Prisma has no words for, or is too slow at. It is the pool that Prisma uses too. */
  pool: pg.Pool;
  /** Waits for queries under way. */
  close(): Promise<void>;
}

/**
 * Nothing is connected before the first query. When PostgreSQL goes away queries fail within 5 s with errors that
 * `isDatabaseUnavailable` knows, and work again as soon as it is back.
 */
export function createDatabase({
  url,
  poolSize,
  log,
}: {
  url: string;
  poolSize: number;
  log: Log;
}): Database {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    application_name: 'catalyst',
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    query_timeout: QUERY_TIMEOUT_MS,
    idle_in_transaction_session_timeout: IDLE_IN_TRANSACTION_TIMEOUT_MS,
    idleTimeoutMillis: IDLE_TIMEOUT_MS,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
  });
  let isClosing = false;
  // An idle connection was lost: the pool has dropped it, and the next query makes a new one. The error carries
  // the whole client with it, which is nothing for a log.
  pool.on('error', ({ message }) => {
    if (!isClosing) log.warn({ reason: message }, 'lost a connection to the database');
  });
  const prisma = new PrismaClient({
    adapter: new PrismaPg(pool),
    transactionOptions: { maxWait: TRANSACTION_WAIT_MS, timeout: TRANSACTION_TIMEOUT_MS },
  });
  return {
    prisma,
    pool,
    async close() {
      isClosing = true;
      await prisma.$disconnect();
      await pool.end();
    },
  };
}
