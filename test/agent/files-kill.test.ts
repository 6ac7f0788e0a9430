import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { makePlaces, type Places } from '../helpers/path-tricks.js';
import { openAtClose } from './at-close-harness.js';
import { UUID } from './files-harness.js';

/** Where packages are found from. */
const CACHE = resolve('node_modules/.cache/catalyst');
const PIECE_BYTES = 64 * 1024;

async function startWriter({ root, server }: Places, way: 'write' | 'at close' | 'many at close') {
  const program = join(CACHE, `files-writer-${process.pid}.mjs`);
  mkdirSync(CACHE, { recursive: true });
  await build({
    entryPoints: [resolve('test/agent/files-writer.ts')],
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  onTestFinished(() => rmSync(program, { force: true }));
  const words = [program, server, join(root, 'state'), UUID, way];
  const child = spawn(process.execPath, words, { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

async function kill(writer: Awaited<ReturnType<typeof startWriter>>) {
  const ended = once(writer, 'exit');
  expect(writer.exitCode).toBeNull();
  writer.kill('SIGKILL');
  await ended;
}

test.each([
  ['write', 1],
  ['at close', 2],
] as const)(
  'killed in the middle (%s): the old file is there, and the next agent removes the half of the new one',
  async (way, temporaries) => {
    const places = makePlaces();
    const directory = join(places.server, 'd');
    const writer = await startWriter(places, way);
    const isUnderWay = () =>
      readdirSync(directory).length === 1 + temporaries &&
      readdirSync(directory).some((name) => name !== 'file' && statSync(join(directory, name)).size > 0);
    await eventually('temporary files', isUnderWay);
    await kill(writer);
    expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('inside');
    const [leftover = ''] = readdirSync(directory);
    expect(leftover).toMatch(/^\.catalyst-[0-9a-f]{12}-1\.part$/);
    // What only looks like it is not ours to remove.
    mkdirSync(join(places.server, leftover));
    writeFileSync(join(places.server, '.catalyst-notes.part'), '');
    const { service, write, read, begin, put, close, names } = openAtClose({ places });
    expect(await names('d')).toEqual(['file']);
    await write('d/new', 'while it is still to be cleaned up');
    const pending = await begin('d/fresh');
    await service.cleanUp();
    expect(readdirSync(directory).filter((name) => name.endsWith('.part'))).toHaveLength(1);
    expect(readdirSync(join(places.root, 'state'))).toContain(UUID);
    await put(pending, 'whole');
    await close(pending);
    expect(readdirSync(directory).sort()).toEqual(['file', 'fresh', 'new']);
    expect(readdirSync(places.server).sort()).toEqual([leftover, '.catalyst-notes.part', 'd'].sort());
    await service.close();
    expect(existsSync(join(places.root, 'state', UUID))).toBe(false);
    expect(String(await read('d/file'))).toBe('inside');
  },
);

test('killed at any moment while many files are written one after the other: each is whole, or not there', async () => {
  const places = makePlaces();
  const directory = join(places.server, 'd');
  const isOurs = (name: string) => name.endsWith('.part');
  for (let kills = 1; kills <= 4; kills += 1) {
    const writer = await startWriter(places, 'many at close');
    const isOfThis = () => readdirSync(directory).some(isOurs);
    await eventually('a temporary file', isOfThis);
    await eventually(
      'some more',
      () => readdirSync(directory).filter((name) => !isOurs(name)).length > 3 * kills,
    );
    await kill(writer);
    const files = readdirSync(directory).filter((name) => !isOurs(name) && name !== 'file');
    for (const name of files) {
      const content = readFileSync(join(directory, name), 'utf8');
      expect(content === content.charAt(0).repeat(PIECE_BYTES), name).toBe(true);
    }
    const { service } = openAtClose({ places });
    await service.cleanUp();
    await service.close();
    expect(readdirSync(directory).filter(isOurs)).toEqual([]);
    expect(existsSync(join(places.root, 'state', UUID))).toBe(false);
  }
}, 60_000);
