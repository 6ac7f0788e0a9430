import { pino } from 'pino';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { deleteExpiredRows } from '../../src/database/expired-rows.js';
import { insertServer, openDatabase } from '../helpers/console.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';

const NOW = new Date('2030-03-10T12:00:00Z');
const DAY_MS = 24 * 60 * 60_000;
const LONG_AGO = new Date(NOW.getTime() - 8 * DAY_MS);
const LATELY = new Date(NOW.getTime() - 6 * DAY_MS);

let testDatabase: TestDatabase;
let database: ReturnType<typeof openDatabase>;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

test('sessions and tokens that expired more than a week ago are deleted, however many, and no others', async () => {
  const { prisma, pool } = database;
  const { ownerId: userId, nodeId } = await insertServer(database);
  const sessions = await prisma.session.createManyAndReturn({
    data: [LONG_AGO, LATELY].map((expiresAt) => ({ userId, expiresAt })),
  });
  const kept = sessions.find(({ expiresAt }) => expiresAt > LONG_AGO);
  await prisma.refreshToken.createMany({
    data: sessions.flatMap(({ id: sessionId }) =>
      [LONG_AGO, LATELY].map((expiresAt) => ({
        sessionId,
        expiresAt,
        tokenHash: `${sessionId} ${expiresAt.getTime()}`,
      })),
    ),
  });
  await prisma.twoFactorTicket.createMany({
    data: [LONG_AGO, LATELY].map((expiresAt) => ({
      userId,
      expiresAt,
      tokenHash: `ticket ${expiresAt.getTime()}`,
    })),
  });
  await prisma.deploymentToken.createMany({
    data: Array.from({ length: 2501 }, (_, index) => ({
      nodeId,
      tokenHash: String(index),
      expiresAt: index === 0 ? LATELY : LONG_AGO,
    })),
  });

  const options = { pool, now: NOW, auditRetentionDays: 365, log: pino({ level: 'silent' }) };
  expect(await deleteExpiredRows(options)).toBe(2 + 1 + 1 + 2500);
  expect(await prisma.session.findMany({ select: { id: true } })).toEqual([{ id: kept?.id }]);
  expect(await prisma.refreshToken.findMany({ select: { sessionId: true, expiresAt: true } })).toEqual([
    { sessionId: kept?.id, expiresAt: LATELY },
  ]);
  expect(await prisma.twoFactorTicket.findMany({ select: { expiresAt: true } })).toEqual([
    { expiresAt: LATELY },
  ]);
  expect(await prisma.deploymentToken.findMany({ select: { tokenHash: true } })).toEqual([
    { tokenHash: '0' },
  ]);
  expect(await deleteExpiredRows(options)).toBe(0);
});

test('of the audit log goes what is older than it is kept, however much, and nothing else', async () => {
  const { prisma, pool } = database;
  const auditRetentionDays = 30;
  const oldest = new Date(NOW.getTime() - auditRetentionDays * DAY_MS);
  await prisma.auditLog.createMany({
    data: Array.from({ length: 2502 }, (_, index) => ({
      action: 'thing.happen',
      resourceType: 'thing',
      resourceId: String(index),
      // The last two are as old as they may be, and of now.
      createdAt: new Date(index < 2500 ? oldest.getTime() - 1 : index === 2500 ? oldest : NOW),
    })),
  });
  const options = { pool, now: NOW, auditRetentionDays, log: pino({ level: 'silent' }) };
  expect(await deleteExpiredRows(options)).toBe(2500);
  const left = await prisma.auditLog.findMany({ select: { resourceId: true }, orderBy: { id: 'asc' } });
  expect(left).toEqual([{ resourceId: '2500' }, { resourceId: '2501' }]);
  expect(await deleteExpiredRows({ ...options, auditRetentionDays: 31 })).toBe(0);
});
