import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { makePlaces, type Places } from '../helpers/path-tricks.js';
import { openFiles, UUID } from './files-harness.js';

/** Where packages are found from. */
const CACHE = resolve('node_modules/.cache/catalyst');

async function startWriter({ root, server }: Places) {
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
  const child = spawn(process.execPath, [program, server, join(root, 'state'), UUID], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test('killed in the middle of a write: the old file is there, and the next agent removes the half of the new one', async () => {
  const places = makePlaces();
  const directory = join(places.server, 'd');
  const writer = await startWriter(places);
  await eventually('a temporary file', () => readdirSync(directory).length === 2);
  writer.kill('SIGKILL');
  await once(writer, 'exit');
  expect(readFileSync(join(directory, 'file'), 'utf8')).toBe('inside');
  const [leftover = ''] = readdirSync(directory);
  expect(leftover).toMatch(/^\.catalyst-[0-9a-f]{12}-1\.part$/);
  // What only looks like it is not ours to remove.
  mkdirSync(join(places.server, leftover));
  writeFileSync(join(places.server, '.catalyst-notes.part'), '');
  const { service, write, read } = openFiles({ places });
  await write('d/new', 'while it is still to be cleaned up');
  await service.cleanUp();
  expect(readdirSync(directory).sort()).toEqual(['file', 'new']);
  expect(readdirSync(places.server).sort()).toEqual([leftover, '.catalyst-notes.part', 'd'].sort());
  expect(readdirSync(join(places.root, 'state'))).toEqual([]);
  expect(String(await read('d/file'))).toBe('inside');
});
