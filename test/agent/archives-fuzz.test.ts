import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { FileError } from '../../agent/files/errors.js';
import { EVIL_ARCHIVES } from '../helpers/evil-archives.js';
import { describeOutside } from '../helpers/path-tricks.js';
import { children, countDescriptors, describe, FORMATS, openArchives } from './archives-harness.js';

const RUNS = 60;

const mutation = fc.oneof(
  fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) }),
  fc.record({
    at: fc.nat(),
    bytes: fc.constantFrom(...[0, 0xff, 0x80, 0x2e].map((byte) => new Uint8Array([byte]))),
  }),
  fc.record({ cutAt: fc.nat() }),
  fc.record({ doubleFrom: fc.nat(), length: fc.integer({ min: 1, max: 2000 }) }),
);
type Mutation = typeof mutation extends fc.Arbitrary<infer Value> ? Value : never;

function mutate(original: Buffer, mutations: Mutation[]): Buffer {
  let bytes = Buffer.from(original);
  for (const change of mutations) {
    if (bytes.length === 0) return bytes;
    if ('cutAt' in change) bytes = bytes.subarray(0, change.cutAt % bytes.length);
    else if ('doubleFrom' in change) {
      const start = change.doubleFrom % bytes.length;
      const part = bytes.subarray(start, start + change.length);
      bytes = Buffer.concat([bytes.subarray(0, start), part, bytes.subarray(start)]);
    } else
      bytes.set(change.bytes.slice(0, bytes.length - (change.at % bytes.length)), change.at % bytes.length);
  }
  return bytes;
}

/** All or nothing, an error of ours, and nothing else. */
async function expectAllOrNothing(archives: ReturnType<typeof openArchives>, bytes: Buffer) {
  const { at, places, extract } = archives;
  writeFileSync(at('mutated'), bytes);
  const [before, outside] = [describe(places.server), describeOutside(places)];
  const error = await extract('/mutated', '/target').then(
    () => null,
    (reason: unknown) => reason,
  );
  if (error === null) execFileSync('rm', ['-rf', at('target')]);
  else expect(error).toBeInstanceOf(FileError);
  expect(describe(places.server)).toEqual(before);
  expect(describeOutside(places)).toBe(outside);
}

test.each(FORMATS)(
  'whatever becomes of the bytes of a %s, it is all or nothing',
  async (format) => {
    const archives = openArchives({ limitBytes: 100_000_000 });
    const { at, compress } = archives;
    for (let index = 0; index < 5; index += 1)
      writeFileSync(at(`d/${index}`), `${index}`.repeat(400 * index));
    await compress(['/d'], '/original', format);
    const original = readFileSync(at('original'));
    const descriptors = countDescriptors();
    const property = fc.asyncProperty(fc.array(mutation, { minLength: 1, maxLength: 4 }), (mutations) =>
      expectAllOrNothing(archives, mutate(original, mutations)),
    );
    await fc.assert(property, { numRuns: RUNS });
    expect(countDescriptors()).toBe(descriptors);
    expect(children()).toEqual([]);
  },
  120_000,
);

test('whatever becomes of archives that are evil already, it is all or nothing', async () => {
  const archives = openArchives({ limitBytes: 100_000_000 });
  const small = EVIL_ARCHIVES.map(({ bytes }) => bytes()).filter((bytes) => bytes.length < 100_000);
  const property = fc.asyncProperty(fc.constantFrom(...small), mutation, (bytes, change) =>
    expectAllOrNothing(archives, mutate(bytes, [change])),
  );
  await fc.assert(property, { numRuns: RUNS });
}, 120_000);
