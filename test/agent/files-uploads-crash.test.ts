import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { Readable } from 'node:stream';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { PartialUpload } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import { makePlaces, type Places } from '../helpers/path-tricks.js';
import { countedBytes } from './counted-bytes.js';
import { UUID } from './files-harness.js';
import { openUploads } from './uploads-harness.js';

/** Where packages are found from. */
const CACHE = resolve('node_modules/.cache/catalyst');
const MEGABYTE = 1024 * 1024;
const SIZE_BYTES = 100 * MEGABYTE + 17;
const FIRST_BYTES = 3 * MEGABYTE + 5;

/** An agent's file service in the middle of the second part. */
async function startWriter({ root, server }: Places, lastBytes: number) {
  const program = join(CACHE, `uploads-writer-${process.pid}.mjs`);
  mkdirSync(CACHE, { recursive: true });
  await build({
    entryPoints: [resolve('test/agent/uploads-writer.ts')],
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  onTestFinished(() => rmSync(program, { force: true }));
  const sizes = [SIZE_BYTES, FIRST_BYTES, lastBytes].map(String);
  const words = [program, server, join(root, 'state'), UUID, ...sizes];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const [line] = await once(createInterface({ input: child.stdout }), 'line');
  return { child, taken: PartialUpload.parse(JSON.parse(line)) };
}

test.each([
  ['before any of it was noted', FIRST_BYTES + 10 * MEGABYTE, false],
  ['after some of it was noted', SIZE_BYTES - 1, true],
])(
  'killed in the middle of a part, %s: what was acknowledged is there, and the rest follows',
  async (_when, lastBytes, isNoted) => {
    const places = makePlaces();
    const { child, taken } = await startWriter(places, lastBytes);
    expect(taken.receivedBytes).toBe(FIRST_BYTES);
    const hidden = join(places.server, `.catalyst-upload-${taken.uploadId}`);
    const note = join(places.root, 'state', 'uploads', UUID, `${taken.uploadId}.json`);
    const notedBytes = () => JSON.parse(readFileSync(note, 'utf8')).receivedBytes;
    await eventually('more has been written', () =>
      isNoted ? notedBytes() > FIRST_BYTES : statSync(hidden).size > FIRST_BYTES,
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(readFileSync(join(places.server, 'd', 'file'), 'utf8')).toBe('inside');

    const { service, find, put, finish, at, hidden: hiddenNames } = openUploads({ places });
    await service.cleanUp();
    const { receivedBytes } = await find(taken.uploadId);
    expect(receivedBytes).toBe(notedBytes());
    expect(receivedBytes > FIRST_BYTES).toBe(isNoted);
    expect(receivedBytes).toBeLessThanOrEqual(statSync(hidden).size);
    await put(taken.uploadId, receivedBytes, Readable.from(countedBytes(receivedBytes, SIZE_BYTES)));
    const hash = createHash('sha256');
    for (const piece of countedBytes(0, SIZE_BYTES)) hash.update(piece);
    const checksum = hash.digest('hex');
    expect(await finish(taken.uploadId, checksum)).toMatchObject({ sizeBytes: SIZE_BYTES });
    expect(
      createHash('sha256')
        .update(readFileSync(at('d/file')))
        .digest('hex'),
    ).toBe(checksum);
    expect(hiddenNames()).toEqual([]);
  },
);
