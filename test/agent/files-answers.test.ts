import { mkdirSync, renameSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FILE_JSON_MAX_BYTES, FileOperations, LIST_MAX } from '../../src/protocol/data-plane.js';
import { openFiles, UUID } from './files-harness.js';

const COUNT = 4000;

/** Names of characters that take six bytes each in JSON. */
const nameOf = (place: number) => `${'\u0001'.repeat(250)}${String(place).padStart(5, '0')}`;
const sizeOf = (answer: unknown) => Buffer.byteLength(JSON.stringify(answer));

test('names that take much room in an answer come in several', async () => {
  const { service, call, at } = openFiles();
  for (let place = 0; place < COUNT; place += 1) writeFileSync(at(nameOf(place)), '');
  const names: string[] = [];
  let after: string | undefined;
  do {
    const input = { path: '/', limit: LIST_MAX, ...(after !== undefined && { after }) };
    const page = await service.operate(UUID, 'list', input, call);
    expect(sizeOf(page)).toBeLessThan(FILE_JSON_MAX_BYTES);
    names.push(...page.entries.map(({ name }) => name));
    after = page.next ?? undefined;
  } while (after !== undefined);
  expect(names.filter((name) => name.startsWith('\u0001'))).toEqual(
    Array.from({ length: COUNT }, (_, place) => nameOf(place)),
  );
});

test('what is found under long paths fits into an answer, and what has too long a path is left out', async () => {
  const { service, call, at } = openFiles();
  const long = '\u0001'.repeat(255);
  mkdirSync(at(Array(12).fill(long).join('/')), { recursive: true });
  const search = () => service.operate(UUID, 'search', { path: '/', text: 'found', limit: 1000 }, call);
  for (let place = 0; place < 1000; place += 1)
    writeFileSync(at(`${Array(12).fill(long).join('/')}/found${place}`), '');
  const many = await search();
  expect(sizeOf(many)).toBeLessThan(FILE_JSON_MAX_BYTES);
  expect([many.isComplete, many.matches.length > 0]).toEqual([false, true]);
  const outer = Array(11).fill('a'.repeat(255)).join('/');
  mkdirSync(at(outer), { recursive: true });
  // Now 23 names of 255 characters, which no path of a request has.
  renameSync(at(long), at(`${outer}/${long}`));
  const none = await search();
  expect(FileOperations.search.output.safeParse(none).success).toBe(true);
  expect(none).toEqual({ matches: [], isComplete: false });
  // Where it can be removed by its name.
  renameSync(at(`${outer}/${long}`), at(long));
});
