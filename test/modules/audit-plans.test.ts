import { afterAll, beforeAll, expect, test } from 'vitest';
import type { createDatabase } from '../../src/database/client.js';
import { readEntries } from '../../src/modules/audit/entries.js';
import { AuditLogQuery } from '../../src/modules/audit/schemas.js';
import { openDatabase } from '../helpers/console.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';

const ENTRIES = 100_000;
const BATCH = 5000;

let testDatabase: TestDatabase;
let database: ReturnType<typeof createDatabase>;
beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
  for (let first = 1; first < ENTRIES; first += BATCH) {
    await database.pool.query(
      `INSERT INTO "AuditLog" ("userId", "action", "resourceType", "resourceId", "serverId", "createdAt")
       SELECT 'user' || i % 1000, CASE WHEN i % 5000 = 0 THEN 'rare.action' ELSE 'thing.number' || i % 10 END, 'many',
         'resource' || i % 3000, 'server' || i % 3000, '2025-01-01T00:00:00Z'::timestamptz + i * interval '5 minutes'
       FROM generate_series($1::int, $2::int) i`,
      [first, first + BATCH - 1],
    );
  }
  await database.pool.query('ANALYZE "AuditLog"');
});
afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

test.each([
  ['', 1000],
  ['limit=100', 100],
  ['userId=user5', 100],
  ['userId=nobody', 0],
  ['action=rare.action', 20],
  ['action=rare.*', 20],
  ['action=thing.*&limit=50', 50],
  ['action=nothing.*', 0],
  ['serverId=server5', 34],
  ['resourceType=many&resourceId=resource5', 34],
  ['resourceType=none', 0],
  ['before=2025-06-01T00:00:00Z&limit=50', 50],
  ['from=2025-06-01T00:00:00Z&to=2025-06-02T00:00:00Z', 288],
  ['serverId=server5&from=2025-02-01T00:00:00Z&to=2025-03-01T00:00:00Z', 3],
  ['from=2025-12-01T00:00:00Z&action=nothing.else', 0],
])('what "%s" asks for is found by an index among 100,000 entries', async (query, count) => {
  const plans: string[] = [];
  const { pool } = database;
  const explaining = {
    async query(text: string, values: unknown[]) {
      const { rows } = await pool.query(`EXPLAIN (COSTS OFF) ${text}`, values);
      plans.push(...rows.map((row) => String(row['QUERY PLAN'])));
      return pool.query(text, values);
    },
  };
  const input = { limit: '1000', ...Object.fromEntries(new URLSearchParams(query)) };
  const { entries } = await readEntries(explaining as typeof pool, AuditLogQuery.parse(input));
  expect(entries).toHaveLength(count);
  expect(plans.filter((line) => line.includes('Index'))).not.toEqual([]);
  expect(plans.filter((line) => line.includes('Seq Scan'))).toEqual([]);
});
