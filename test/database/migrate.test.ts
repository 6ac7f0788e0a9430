import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import pg from 'pg';
import { pino } from 'pino';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../src/database/migrate.js';
import { createEmptyDatabase, type TestDatabase } from '../helpers/database.js';

let database: TestDatabase;
let client: pg.Client;
let directory: string;
let logged: Record<string, unknown>[];

const log = pino({ level: 'debug' }, { write: (line) => logged.push(JSON.parse(line)) });

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'catalyst-migrations-'));
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

beforeEach(async () => {
  logged = [];
  rmSync(directory, { recursive: true, force: true });
  cpSync('prisma/migrations', directory, { recursive: true });
  database = await createEmptyDatabase();
  client = new pg.Client({ connectionString: database.url });
  await client.connect();
});

afterEach(async () => {
  await client.end();
  await database.drop();
});

function run(options: { url?: string; reachableTimeoutMs?: number } = {}): Promise<string[]> {
  return migrate({ url: database.url, directory, log, ...options });
}

function writeMigration(name: string, script: string): void {
  mkdirSync(path.join(directory, name), { recursive: true });
  writeFileSync(path.join(directory, name, 'migration.sql'), script);
}

test('of three instances that start at once exactly one applies the migrations', async () => {
  const applied = await Promise.all([run(), run(), run()]);
  expect(applied.filter((names) => names.length > 0)).toHaveLength(1);
  expect(applied.flat()).toContain('20261120000000_foundation');
  const { rows } = await client.query('SELECT count(*)::int AS count FROM _prisma_migrations');
  expect(rows).toEqual([{ count: applied.flat().length }]);
  const { rows: roles } = await client.query('SELECT * FROM "Role"');
  expect(roles).toEqual([]);
});

test('a second start applies only what is new', async () => {
  await run();
  expect(await run()).toEqual([]);
  writeMigration('20990101000000_new', 'CREATE TABLE "New" (id int)');
  expect(await run()).toEqual(['20990101000000_new']);
});

test('a migration that was changed after it had been applied is warned of and not applied again', async () => {
  await run();
  const [foundation] = ['20261120000000_foundation'];
  writeMigration(foundation, 'SELECT 1');
  expect(await run()).toEqual([]);
  expect(logged).toContainEqual(
    expect.objectContaining({ level: 40, migration: foundation, msg: expect.stringContaining('changed') }),
  );
});

test('a migration that fails leaves nothing behind and is tried again at the next start', async () => {
  await run();
  writeMigration('20990101000000_broken', 'CREATE TABLE "Half" (id int); SELECT 1 / 0;');
  await expect(run()).rejects.toThrow(/20990101000000_broken failed.*division by zero/);
  const { rows } = await client.query(`SELECT to_regclass('"Half"') AS half`);
  expect(rows).toEqual([{ half: null }]);
  writeMigration('20990101000000_broken', 'CREATE TABLE "Half" (id int)');
  expect(await run()).toEqual(['20990101000000_broken']);
});

test('a migration that another tool left half-way stops the start and says how to go on', async () => {
  await run();
  await client.query(
    `INSERT INTO _prisma_migrations (id, checksum, migration_name) VALUES ('1', 'x', '20990101000000_half')`,
  );
  await expect(run()).rejects.toThrow(/20990101000000_half.*prisma migrate resolve/s);
});

test('a database that cannot be reached is waited for, then given up with what to do', async () => {
  const closed = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => closed.once('listening', resolve));
  const address = closed.address();
  const port = typeof address === 'object' ? address?.port : 0;
  await new Promise((resolve) => closed.close(resolve));
  const url = `postgresql://nobody:secret@127.0.0.1:${port}/none`;
  await expect(run({ url, reachableTimeoutMs: 1500 })).rejects.toThrow(/does not answer.*DATABASE_URL/);
  expect(logged).toContainEqual(expect.objectContaining({ msg: 'waiting for the database' }));
  expect(JSON.stringify(logged)).not.toContain('secret');
});

test('a wrong password is not waited for', async () => {
  const url = new URL(database.url);
  url.password = 'wrong';
  await expect(run({ url: url.href })).rejects.toThrow(/refuses us: password authentication failed/);
});
