import type { Pool } from 'pg';
import { formatMicroseconds } from '../../lib/timestamps.js';
import type { LogStream } from '../../protocol/agent-messages.js';

/** A stored line, ended by \n. */
export interface LogLine {
  seq: number;
  stream: LogStream;
  data: string;
  timestamp: string;
}

type Row = { seq: string; microseconds: string; stream: LogStream; data: string };

const COLUMNS = `"seq"::text AS "seq", (extract(epoch FROM "at") * 1000000)::bigint::text AS "microseconds", "stream", "data"`;

/** The newest lines before a time, oldest first. Walks an index backwards, youngest partition first. */
export async function readLinesBefore(
  pool: Pool,
  query: { serverId: string; beforeMicroseconds: number; stream: LogStream | undefined; limit: number },
): Promise<LogLine[]> {
  const { rows } = await pool.query<Row>(
    `SELECT ${COLUMNS} FROM history.server_logs
     WHERE "serverId" = $1 AND "at" < $2 ${query.stream ? `AND "stream" = $4` : ''}
     ORDER BY "at" DESC LIMIT $3`,
    [
      query.serverId,
      formatMicroseconds(query.beforeMicroseconds),
      query.limit,
      ...(query.stream ? [query.stream] : []),
    ],
  );
  return rows.reverse().map(toLine);
}

/** The first lines after number `since` up to number `until`, in order. */
export async function readLinesAfter(
  pool: Pool,
  { serverId, since, until, limit }: { serverId: string; since: number; until: number; limit: number },
): Promise<LogLine[]> {
  // Ordered by the column: the bare name would mean the text of the same name in the list above.
  const { rows } = await pool.query<Row>({
    name: 'console-replay',
    text: `SELECT ${COLUMNS} FROM history.server_logs
           WHERE "serverId" = $1 AND "seq" > $2 AND "seq" <= $3 ORDER BY server_logs."seq" LIMIT $4`,
    values: [serverId, since, until, limit],
  });
  return rows.map(toLine);
}

function toLine({ seq, microseconds, stream, data }: Row): LogLine {
  return { seq: Number(seq), stream, data: `${data}\n`, timestamp: formatMicroseconds(Number(microseconds)) };
}
