import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { createDatabase, type Database } from '../../src/database/client.js';
import { type EmbeddedDatabase, startEmbedded } from '../../src/database/embedded.js';
import { migrate } from '../../src/database/migrate.js';
import {
  isDatabaseUnavailable,
  isForeignKeyViolation,
  isUniqueViolation,
} from '../../src/lib/database-errors.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';

// Servers of the test's own, beside other tests on the same cores.
vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const log = { debug() {}, info() {}, warn() {}, error() {} };

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => {
      throw new Error('It did not fail.');
    },
    (error: unknown) => error,
  );
}

describe('constraints', () => {
  let testDatabase: TestDatabase;
  let database: Database;

  beforeAll(async () => {
    testDatabase = await createTestDatabase();
    database = createDatabase({ url: testDatabase.url, poolSize: 3, log });
    await database.prisma.role.create({ data: { id: 'one', name: 'Taken', permissions: [] } });
  });

  afterAll(async () => {
    await database.close();
    await testDatabase.drop();
  });

  test('a name that is taken is a unique violation of that constraint, whoever asked PostgreSQL', async () => {
    const { prisma, pool } = database;
    const insert = `INSERT INTO "Role" ("id", "name", "permissions", "updatedAt") VALUES ('two', 'Taken', '{}', now())`;
    const failures = [
      await failureOf(prisma.role.create({ data: { name: 'Taken', permissions: [] } })),
      await failureOf(prisma.$executeRawUnsafe(insert)),
      await failureOf(prisma.$transaction((transaction) => transaction.$executeRawUnsafe(insert))),
      await failureOf(pool.query(insert)),
    ];
    for (const failure of failures) {
      expect(isUniqueViolation(failure)).toBe(true);
      expect(isUniqueViolation(failure, 'Role_name_key')).toBe(true);
      expect(isUniqueViolation(failure, 'User_emailKey_key')).toBe(false);
      expect(isDatabaseUnavailable(failure)).toBe(false);
    }
  });

  test('a reference to nothing is a foreign key violation and no unique violation', async () => {
    const failure = await failureOf(
      database.prisma.userRole.create({ data: { userId: 'x', roleId: 'one' } }),
    );
    expect(isForeignKeyViolation(failure, 'UserRole_userId_fkey')).toBe(true);
    expect(isUniqueViolation(failure)).toBe(false);
  });
});

describe('a PostgreSQL that hangs', () => {
  let dataDir: string;
  let embedded: EmbeddedDatabase;
  let database: Database;

  beforeAll(async () => {
    dataDir = mkdtempSync(path.join(tmpdir(), 'catalyst-client-'));
    embedded = await startEmbedded({ dataDir, log });
    await migrate({ url: embedded.url, directory: 'prisma/migrations', log });
    database = createDatabase({ url: embedded.url, poolSize: 2, log });
  });

  afterAll(async () => {
    await database.close();
    await embedded.stop();
    rmSync(dataDir, { recursive: true, force: true });
  });

  const { pool, prisma } = {
    pool: () => database.pool.query('SELECT 1'),
    prisma: () => database.prisma.role.count(),
  };
  const transaction = () => database.prisma.$transaction((open) => open.role.count());

  test('more requests than connections each fail within 5 s as unavailable, and work when it is back', async () => {
    // Two connections are open when the server and its processes stop.
    const [backends] = [await database.pool.query<{ pid: number }>('SELECT pid FROM pg_stat_activity')];
    const pids = [embedded.pid(), ...backends.rows.map(({ pid }) => pid)];
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    try {
      const startedAt = Date.now();
      const requests = [pool, prisma, transaction, pool, prisma, transaction];
      const failures = await Promise.all(requests.map((request) => failureOf(request())));
      expect(Date.now() - startedAt).toBeLessThan(5000);
      expect(failures.map(isDatabaseUnavailable)).toEqual(requests.map(() => true));
    } finally {
      for (const pid of pids) process.kill(pid, 'SIGCONT');
    }
    await vi.waitFor(pool, { timeout: 10_000 });
    expect(await Promise.all([prisma(), transaction()])).toEqual([0, 0]);
  });

  test('requests fail as unavailable when it is killed, and work when it has been started again', async () => {
    const pid = embedded.pid();
    process.kill(pid, 'SIGKILL');
    const failures: unknown[] = [];
    await vi.waitFor(
      async () => {
        if (embedded.pid() === pid) failures.push(await prisma().catch((error: unknown) => error));
        expect(embedded.pid()).not.toBe(pid);
      },
      { timeout: 20_000 },
    );
    const unknown = failures.filter((failure) => failure instanceof Error && !isDatabaseUnavailable(failure));
    expect(unknown).toEqual([]);
    expect(failures.some(isDatabaseUnavailable)).toBe(true);
    expect(await prisma()).toBe(0);
  });

  test('a statement that takes too long is ended and counts as unavailable', async () => {
    const failure = await failureOf(database.pool.query('SELECT pg_sleep(60)'));
    expect(isDatabaseUnavailable(failure)).toBe(true);
  });
});
