import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { createQuota } from '../../agent/files/quota/quota.js';
import { refuseOverLimit } from '../../agent/servers/disk-limit.js';
import { startDiskWatch } from '../../agent/servers/disk-watch.js';
import { eventually } from '../helpers/condition.js';
import { UUID } from './files-harness.js';

const MEGABYTE = 1024 * 1024;
const LIMIT_MB = 10;
const log = pino({ level: 'silent' });

/** A quota whose measurements are the test's own: `during` is what happens while one is under way. */
function openQuota(measure: (quota: ReturnType<typeof createQuota>) => Promise<number>) {
  const quota = createQuota(log, () => measure(quota));
  const usage = {
    last: quota.lastUsage,
    measure: (uuid: string) => quota.measure(uuid, '/nowhere'),
    hold: async () => {},
  };
  return { quota, usage };
}

/** A running server, and how often it was stopped. */
function watch(usage: ReturnType<typeof openQuota>['usage']) {
  const stops: number[] = [];
  const server = {
    ...{ uuid: UUID, serverId: 'server', isRunning: true, diskMb: LIMIT_MB },
    stopOverLimit: async (bytes: number) => void stops.push(bytes),
  };
  const servers = () => [server as never];
  const { stop } = startDiskWatch({ servers, usage, intervalMs: 10, log });
  onTestFinished(stop);
  return stops;
}

/** Six megabytes, three more of which are uploaded and seen by the measurement that is under way. */
function openBusyQuota() {
  let count = 0;
  const opened = openQuota(async (quota) => {
    count += 1;
    const limitBytes = LIMIT_MB * MEGABYTE;
    const claim = await quota.account(UUID, { directory: '/nowhere', limitBytes: null }).claim(limitBytes);
    claim.wrote(3 * MEGABYTE);
    claim.end(true);
    return 9 * MEGABYTE;
  });
  return { ...opened, count: () => count };
}

test('a server is not stopped for what was uploaded while it was measured, and counted twice', async () => {
  const { usage, count } = openBusyQuota();
  const stops = watch(usage);
  await eventually('it was measured often', () => count() > 10);
  expect(usage.last(UUID)?.bytes).toBeGreaterThan(11 * MEGABYTE);
  expect(stops).toEqual([]);
});

test('nor is its start refused for that', async () => {
  const { usage } = openBusyQuota();
  await usage.measure(UUID);
  const record = { uuid: UUID, isOverDiskLimit: true, launch: { diskMb: LIMIT_MB } };
  await refuseOverLimit(record as never, usage);
});

test('a figure of before does not stop a server that cannot be measured now', async () => {
  let count = 0;
  const { usage } = openQuota(async () => {
    count += 1;
    if (count === 1) return 20 * MEGABYTE;
    throw new Error('there are no more processes');
  });
  expect(await usage.measure(UUID)).toBe(20 * MEGABYTE);
  expect(await usage.measure(UUID)).toBeNull();
  const stops = watch(usage);
  await eventually('it was tried often', () => count > 10);
  expect(stops).toEqual([]);
});

test('a server that is over its limit is stopped for what was found', async () => {
  const { usage } = openQuota(async () => 12 * MEGABYTE);
  const stops = watch(usage);
  await eventually('it is stopped', () => stops.length > 0);
  expect(stops[0]).toBe(12 * MEGABYTE);
});
