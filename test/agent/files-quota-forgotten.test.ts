import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { createMeasure } from '../../agent/files/quota/measure.js';
import { createQuota } from '../../agent/files/quota/quota.js';

const MEGABYTE = 1024 * 1024;
const COUNTED_BYTES = 1000;

test('what a walk has found of a server is forgotten with the server', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'catalyst-quota-'));
  onTestFinished(() => rmSync(directory, { recursive: true }));
  writeFileSync(join(directory, 'file'), Buffer.alloc(5 * MEGABYTE, 1));
  const projects = { usedBytes: async () => COUNTED_BYTES };
  const quota = createQuota(pino({ level: 'silent' }), createMeasure({ projects, walkIntervalMs: 0 }));
  const measure = () => quota.measure('a', directory);
  expect(await measure()).toBe(COUNTED_BYTES);
  expect(await measure()).toBeGreaterThan(4 * MEGABYTE);
  quota.forget('a');
  // The first of a server is not walked for: it is its own, and nothing is known of it.
  expect(await measure()).toBe(COUNTED_BYTES);
});
