import { pino } from 'pino';
import { describe, expect, test } from 'vitest';
import { FileError } from '../../agent/files/errors.js';
import { loadBeneath } from '../../agent/files/paths/openat2.js';
import { CANARY, describeOutside, PATH_TRICKS, removePlaces } from '../helpers/path-tricks.js';
import { EVERY_OPERATION, openFiles } from './files-harness.js';
import { isRoot } from './harness.js';

const tricks = PATH_TRICKS.filter(({ needsRoot }) => isRoot || !needsRoot);
const LIMIT_BYTES = 2 ** 30;
const kernel = await loadBeneath(pino({ level: 'silent' }));
const WAYS = { 'by walking': null, ...(kernel !== null && { 'by the kernel': kernel }) };

test('there are many tricks, each by its own name', () => {
  expect(new Set(PATH_TRICKS.map(({ name }) => name)).size).toBe(PATH_TRICKS.length);
  expect(PATH_TRICKS.length).toBeGreaterThanOrEqual(40);
});

describe.each(Object.entries(WAYS))('%s', (_way, beneath) => {
  test.each(tricks.map((trick) => [trick.name, trick] as const))(
    '%s: no operation shows or changes anything outside',
    async (_name, trick) => {
      for (const [operation, run] of Object.entries(EVERY_OPERATION)) {
        const files = openFiles({ limitBytes: LIMIT_BYTES, beneath });
        trick.prepare?.(files.places);
        const before = describeOutside(files.places);
        const answer = await run(files, trick.path(files.places)).catch((error: unknown) => {
          expect(error, operation).toBeInstanceOf(FileError);
          return null;
        });
        if (typeof answer === 'string') expect(answer, operation).not.toContain(CANARY);
        if (answer !== null && operation === 'list') expect(JSON.stringify(answer)).not.toContain(CANARY);
        expect(describeOutside(files.places), operation).toBe(before);
        if (operation === 'copy from' && answer !== null) {
          const copied = await files.read('copied').catch(() => Buffer.alloc(0));
          expect(String(copied), operation).not.toContain(CANARY);
        }
        await files.service.close();
        removePlaces(files.places);
      }
    },
  );
});
