import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { createInterface } from 'node:readline';
import pg from 'pg';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { type EmbeddedDatabase, startEmbedded } from '../../src/database/embedded.js';

// Servers of the test's own, beside other tests on the same cores.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const isRoot = process.getuid?.() === 0;
const log = { debug() {}, info() {}, warn() {}, error() {} };

let directory: string;
let opened: EmbeddedDatabase[];

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'catalyst-embedded-'));
  opened = [];
});

afterEach(async () => {
  for (const embedded of opened) await embedded.stop();
  rmSync(directory, { recursive: true, force: true });
});

async function start(dataDir = directory): Promise<EmbeddedDatabase> {
  const embedded = await startEmbedded({ dataDir, log });
  opened.push(embedded);
  return embedded;
}

async function query<Row extends pg.QueryResultRow>({ url }: { url: string }, sql: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(sql)).rows;
  } finally {
    await client.end();
  }
}

/** Starts the writer in a process of its own; answers when it has acknowledged so many rows. */
async function startWriter(
  rows: number,
): Promise<{ child: ChildProcess; pid: number; url: string; last(): number }> {
  const child = spawn(process.execPath, [path.join(import.meta.dirname, 'writer.mjs'), directory], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let last = 0;
  const server = await new Promise<{ pid: number; url: string }>((resolve, reject) => {
    let first: { pid: number; url: string } | null = null;
    createInterface({ input: child.stdout }).on('line', (line) => {
      if (!first) first = JSON.parse(line) as { pid: number; url: string };
      else last = Number(line);
      if (last >= rows) resolve(first);
    });
    child.once('exit', (code) => reject(new Error(`The writer ended with code ${code}.`)));
  });
  return { child, ...server, last: () => last };
}

async function killed(child: ChildProcess): Promise<void> {
  const ended = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGKILL');
  await ended;
}

test('rows are there after a stop and a start, and the server is as durable and as private as it should be', async () => {
  const first = await start();
  await query(first, 'CREATE TABLE kept AS SELECT 1 AS number');
  await first.stop();
  const second = await start();
  expect(second.how).toBe('started');
  expect(await query(second, 'SELECT number FROM kept')).toEqual([{ number: 1 }]);
  const settings = await query<{ name: string; setting: string }>(
    second,
    `SELECT name, setting FROM pg_settings WHERE name IN
       ('fsync', 'synchronous_commit', 'full_page_writes', 'listen_addresses', 'TimeZone', 'data_checksums')`,
  );
  expect(Object.fromEntries(settings.map(({ name, setting }) => [name, setting]))).toEqual({
    data_checksums: 'on',
    fsync: 'on',
    full_page_writes: 'on',
    listen_addresses: '127.0.0.1',
    synchronous_commit: 'on',
    TimeZone: 'UTC',
  });
  expect(statSync(path.join(directory, 'postgres/password')).mode & 0o777).toBe(0o600);
  expect(statSync(path.join(directory, 'postgres')).mode & 0o077).toBe(0);
});

test('a server whose panel was killed is adopted and goes on', async () => {
  const writer = await startWriter(5);
  await killed(writer.child);
  const embedded = await start();
  expect(embedded).toMatchObject({ how: 'adopted', url: writer.url });
  expect(embedded.pid()).toBe(writer.pid);
});

test('no acknowledged row is lost when panel and PostgreSQL are killed', async () => {
  const writer = await startWriter(300);
  process.kill(writer.pid, 'SIGKILL');
  await killed(writer.child);
  const embedded = await start();
  expect(embedded.how).toBe('started');
  const [row] = await query<{ count: number }>(embedded, 'SELECT count(*)::int AS count FROM written');
  expect(row?.count).toBeGreaterThanOrEqual(writer.last());
  // One row may have been committed without its acknowledgement getting through.
  expect(row?.count).toBeLessThanOrEqual(writer.last() + 1);
});

test('of two that start at once on a new directory one starts the server and the other adopts it', async () => {
  const [first, second] = await Promise.all([start(), start()]);
  expect([first.how, second.how].sort()).toEqual(['adopted', 'started']);
  expect(first.url).toBe(second.url);
  expect(first.pid()).toBe(second.pid());
});

test('a server that is killed under a living panel is started again at the same address', async () => {
  const embedded = await start();
  await query(embedded, 'CREATE TABLE kept AS SELECT 1 AS number');
  const pid = embedded.pid();
  process.kill(pid, 'SIGKILL');
  await vi.waitFor(() => expect(embedded.pid()).not.toBe(pid), { timeout: 15_000 });
  expect(await query(embedded, 'SELECT number FROM kept')).toEqual([{ number: 1 }]);
});

test('a data directory of another major version is refused and left alone', async () => {
  const embedded = await start();
  await embedded.stop();
  const versionFile = path.join(directory, 'postgres/data/PG_VERSION');
  const version = readFileSync(versionFile, 'utf8');
  writeFileSync(versionFile, '15\n');
  await expect(start()).rejects.toThrow(
    /made by PostgreSQL 15.*PostgreSQL 18.*Nothing was changed.*pg_dump.*DATABASE_URL/s,
  );
  writeFileSync(versionFile, version);
  expect((await start()).how).toBe('started');
});

test('the rest of an initdb that was cut short does not keep the server from starting', async () => {
  const embedded = await start();
  await embedded.stop();
  const data = path.join(directory, 'postgres/data');
  rmSync(path.join(data, 'global/pg_control'));
  renameSync(data, `${data}.new`);
  expect((await start()).how).toBe('started');
  expect(existsSync(`${data}.new`)).toBe(false);
});

test('a stale postmaster.pid with the number of a living process does not keep the server from starting', async () => {
  const embedded = await start();
  await embedded.stop();
  const file = path.join(directory, 'postgres/data/postmaster.pid');
  writeFileSync(file, `${process.pid}\n${path.dirname(file)}\n1700000000\n1\n\n127.0.0.1\n0 0\nready\n`);
  expect((await start()).how).toBe('started');
});

test('a missing password file is named, and no new one made for the old database', async () => {
  const embedded = await start();
  await embedded.stop();
  rmSync(path.join(directory, 'postgres/password'));
  await expect(start()).rejects.toThrow(/postgres\/password.*missing/);
  expect(existsSync(path.join(directory, 'postgres/password'))).toBe(false);
});

test.runIf(isRoot)(
  'a project that only root may enter keeps its database elsewhere, each one its own',
  async () => {
    // mkdtemp makes directories that nobody else may enter.
    const [one, other] = ['one', 'other'].map((name) => path.join(directory, name, 'data'));
    const servers = [await start(one), await start(other)];
    const places = [one, other].map((dataDir) => readFileSync(`${dataDir}/postgres.location`, 'utf8'));
    try {
      expect(new Set(places).size).toBe(2);
      expect(servers.map(({ how }) => how)).toEqual(['started', 'started']);
      await query(servers[0] ?? { url: '' }, 'CREATE TABLE mine ()');
      await servers[0]?.stop();
      const again = await start(one);
      expect(
        await query(again, `SELECT count(*)::int AS count FROM pg_tables WHERE tablename = 'mine'`),
      ).toEqual([{ count: 1 }]);
    } finally {
      for (const embedded of opened) await embedded.stop();
      for (const place of places) rmSync(path.dirname(place), { recursive: true });
    }
  },
);
