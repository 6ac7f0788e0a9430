import { DatabaseError, type Pool } from 'pg';
import { formatMicroseconds } from '../../lib/timestamps.js';
import type { LogBatch } from './batch.js';

/**
 * Lines are cut out of their batches by PostgreSQL, so that the panel does nothing per line. The row of
 * "ServerConsole" is locked and only what is beyond its `lastSeq` is inserted: a batch that comes twice (after an
 * answer that was lost, or from a second panel) is stored once. A server without a row has been deleted.
 */
const INSERT = `
  WITH batch AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::bigint[], $3::bigint[], $4::bigint[], $5::timestamptz[], $6::history."LogStream"[], $7::text[])
      AS b("serverId", "firstSeq", "seq", "lines", "at", "stream", "data")
  ), head AS (
    SELECT "serverId", max("seq") AS "seq", min("at") AS "firstAt",
      max("at" + greatest("lines" - 1, 0) * interval '1 microsecond') AS "lastAt"
    FROM batch GROUP BY "serverId"
  ), previous AS MATERIALIZED (
    SELECT c."serverId", c."lastSeq", h."seq", h."lastAt",
      greatest(c."lastAt" + interval '1 microsecond' - h."firstAt", interval '0') AS "shift"
    FROM "ServerConsole" c JOIN head h USING ("serverId")
    ORDER BY c."serverId" FOR UPDATE OF c
  ), moved AS (
    UPDATE "ServerConsole" c SET "lastSeq" = p."seq", "lastAt" = p."lastAt" + p."shift"
    FROM previous p WHERE c."serverId" = p."serverId" AND p."seq" > p."lastSeq"
  ), stored AS (
    INSERT INTO history.server_logs ("serverId", "seq", "at", "stream", "data")
    SELECT b."serverId", b."firstSeq" + l.n - 1, b."at" + p."shift" + (l.n - 1) * interval '1 microsecond', b."stream", l.line
    FROM batch b JOIN previous p USING ("serverId")
      CROSS JOIN LATERAL unnest(string_to_array(b."data", E'\\n')) WITH ORDINALITY AS l(line, n)
    WHERE l.n <= b."lines" AND b."firstSeq" + l.n - 1 > p."lastSeq"
  )
  SELECT "serverId", greatest("lastSeq", "seq")::text AS "seq" FROM previous`;

/**
 * Stores lines and moves each server's last number. Answers up to where each server's lines are stored. A batch that
 * PostgreSQL refuses for what is in it must not hold up the others: it is found by halving, and left out.
 */
export async function insertBatches(
  pool: Pool,
  batches: readonly LogBatch[],
  options: { onRefused(batch: LogBatch, error: unknown): void },
): Promise<Map<string, number>> {
  try {
    return await insertTogether(pool, batches);
  } catch (error) {
    if (!isRefusal(error)) throw error;
    const [only] = batches;
    if (only && batches.length === 1) {
      options.onRefused(only, error);
      return insertTogether(pool, [{ ...only, data: '', gap: 'not_stored' }]);
    }
    const middle = batches.length >> 1;
    const earlier = await insertBatches(pool, batches.slice(0, middle), options);
    const later = await insertBatches(pool, batches.slice(middle), options);
    return new Map([...earlier, ...later]);
  }
}

/** SQLSTATE classes 22 and 23: the data, not the database, is the reason. */
function isRefusal(error: unknown): boolean {
  return error instanceof DatabaseError && /^2[23]/.test(error.code ?? '');
}

async function insertTogether(pool: Pool, batches: readonly LogBatch[]): Promise<Map<string, number>> {
  const { rows } = await pool.query<{ serverId: string; seq: string }>({
    name: 'console-insert',
    text: INSERT,
    values: [
      batches.map(({ serverId }) => serverId),
      batches.map(({ firstSeq }) => firstSeq),
      batches.map(({ seq }) => seq),
      batches.map(lineCount),
      batches.map(({ microseconds }) => formatMicroseconds(microseconds)),
      batches.map(({ stream }) => stream),
      encodeTextArray(batches.map(({ data }) => data)),
    ],
  });
  return new Map(rows.map(({ serverId, seq }) => [serverId, Number(seq)]));
}

function lineCount({ gap, firstSeq, seq }: LogBatch): number {
  return gap ? 0 : seq - firstSeq + 1;
}

const TEXT_TYPE_ID = 25;
const ARRAY_HEADER_BYTES = 20;

/**
 * PostgreSQL's binary form of `text[]`: one dimension, no nulls, each element its length and its bytes. Sent as a
 * Buffer, pg passes it on as it is, where the text form is escaped character by character here and parsed there.
 * https://github.com/postgres/postgres/blob/REL_15_STABLE/src/backend/utils/adt/arrayfuncs.c (array_recv)
 */
function encodeTextArray(texts: readonly string[]): Buffer {
  const sizes = texts.map((text) => Buffer.byteLength(text));
  const total = sizes.reduce((sum, size) => sum + 4 + size, ARRAY_HEADER_BYTES);
  const encoded = Buffer.allocUnsafe(total);
  const header = [texts.length === 0 ? 0 : 1, 0, TEXT_TYPE_ID, texts.length, 1];
  let offset = 0;
  for (const word of header) offset = encoded.writeInt32BE(word, offset);
  texts.forEach((text, index) => {
    offset = encoded.writeInt32BE(sizes[index] ?? 0, offset);
    offset += encoded.write(text, offset);
  });
  return encoded;
}
