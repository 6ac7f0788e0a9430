import pg from 'pg';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  dropExpiredPartitions,
  ensurePartitions,
  maintainPartitions,
} from '../../src/database/partitions.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';

/** A date far from today: the template database has partitions around today. */
const NOW = new Date('2030-03-10T23:30:00+02:00');
const DAY_MS = 24 * 60 * 60_000;

let database: TestDatabase;
let pool: pg.Pool;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = new pg.Pool({ connectionString: database.url });
  // The database goes, by force, before its last connection has closed.
  pool.on('error', () => {});
  await dropExpiredPartitions(pool, new Date('2029-01-01'), { logs: 1, metrics: 1 });
});

afterAll(async () => {
  await pool.end();
  await database.drop();
});

async function partitionsOf(table: string): Promise<string[]> {
  const { rows } = await pool.query<{ name: string }>(
    `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = $1::regclass ORDER BY 1`,
    [`history.${table}`],
  );
  return rows.map(({ name }) => name.replace('history.', ''));
}

function insertNodeSample(at: Date): Promise<pg.QueryResult> {
  return pool.query(`INSERT INTO history.node_metrics VALUES ('node', $1, 1, 1, 1, 1, 1, 1)`, [at]);
}

test('three instances at once make each partition from yesterday to a week ahead exactly once', async () => {
  const created = await Promise.all([1, 2, 3].map(() => ensurePartitions(pool, NOW)));
  expect(created.map((names) => names.length).sort((a, b) => a - b)).toEqual([0, 0, 27]);
  expect(await partitionsOf('server_logs')).toEqual(
    ['09', '10', '11', '12', '13', '14', '15', '16', '17'].map((day) => `server_logs_203003${day}`),
  );
  expect(await partitionsOf('node_metrics')).toHaveLength(9);
});

test('rows of the covered days are taken, with days cut at midnight UTC', async () => {
  await insertNodeSample(new Date('2030-03-09T00:00:00Z'));
  await insertNodeSample(new Date('2030-03-17T23:59:59.999Z'));
  await expect(insertNodeSample(new Date('2030-03-18T00:00:00Z'))).rejects.toThrow('no partition');
  const { rows } = await pool.query('SELECT count(*)::int AS count FROM history.node_metrics_20300317');
  expect(rows).toEqual([{ count: 1 }]);
});

test('a partition goes when its last moment is older than the retention of its kind, and not before', async () => {
  // The day of 9 March ends with 10 March 00:00; three days later it is out of a retention of three days.
  const end = new Date('2030-03-13T00:00:00Z');
  const retention = { logs: 3, metrics: 30 };
  expect(await dropExpiredPartitions(pool, new Date(end.getTime() - 1), retention)).toEqual([]);
  const dropped = await Promise.all([1, 2].map(() => dropExpiredPartitions(pool, end, retention)));
  expect(dropped.flat()).toEqual(['server_logs_20300309']);
  expect(await partitionsOf('node_metrics')).toHaveLength(9);
});

test('maintenance an hour later and after a month leaves the days that are needed', async () => {
  const log = pino({ level: 'silent' });
  const retentionDays = { logs: 14, metrics: 30 };
  await maintainPartitions({ pool, now: NOW, retentionDays, log });
  await maintainPartitions({ pool, now: new Date(NOW.getTime() + 60 * DAY_MS), retentionDays, log });
  expect((await partitionsOf('server_metrics'))[0]).toBe('server_metrics_20300508');
  expect(await partitionsOf('server_logs')).toHaveLength(9);
});
