import type pg from 'pg';
import { consoleLine, monotonicMs } from './lines.js';

const INSERT = `
  INSERT INTO "bench"."server_logs" ("serverId", "seq", "at", "stream", "data")
  SELECT * FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::"history"."LogStream"[], $5::text[])`;

/** The console's table once more, of the same shape, with one partition for all time. */
export async function createRawTable(pool: pg.Pool): Promise<void> {
  await pool.query(`
    CREATE SCHEMA "bench";
    CREATE TABLE "bench"."server_logs" (LIKE "history"."server_logs" INCLUDING ALL) PARTITION BY RANGE ("at");
    CREATE TABLE "bench"."server_logs_all" PARTITION OF "bench"."server_logs" FOR VALUES FROM (MINVALUE) TO (MAXVALUE);
  `);
}

export interface RawInsertOptions {
  pool: pg.Pool;
  seconds: number;
  batchLines: number;
  lineBytes: number;
}

/** Rows a second that `unnest` through `pg` stores, one statement after the other. The rows are made beforehand. */
export async function insertRaw({ pool, seconds, batchLines, lineBytes }: RawInsertOptions): Promise<number> {
  await pool.query('TRUNCATE "bench"."server_logs"');
  const numbers = Array.from({ length: batchLines }, (_, index) => index + 1);
  const data = numbers.map((number) => consoleLine(number, monotonicMs(), lineBytes).trimEnd());
  const serverIds = numbers.map(() => 'a server id of the usual size');
  const streams = numbers.map(() => 'stdout');
  const begunAt = Date.now();
  const startedAt = monotonicMs();
  let rows = 0;
  let spentMs = 0;
  while (spentMs < seconds * 1000) {
    const seqs = numbers.map((number) => rows + number);
    const times = seqs.map((seq) => new Date(begunAt + seq).toISOString());
    await pool.query({ name: 'bench-insert', text: INSERT, values: [serverIds, seqs, times, streams, data] });
    rows += batchLines;
    spentMs = monotonicMs() - startedAt;
  }
  return (rows * 1000) / spentMs;
}
