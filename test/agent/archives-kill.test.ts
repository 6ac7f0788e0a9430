import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { makePlaces, type Places } from '../helpers/path-tricks.js';
import { describe, openArchives } from './archives-harness.js';
import { UUID } from './files-harness.js';

/** Where packages are found from. */
const CACHE = resolve('node_modules/.cache/catalyst');
const FILES = 1500;

async function startWriter({ root, server }: Places, name: string, request: object) {
  const program = join(CACHE, `archives-writer-${process.pid}.mjs`);
  mkdirSync(CACHE, { recursive: true });
  await build({
    entryPoints: [resolve('test/agent/archives-writer.ts')],
    outfile: program,
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
  });
  onTestFinished(() => rmSync(program, { force: true }));
  const words = [program, server, join(root, 'state'), UUID, name, JSON.stringify(request)];
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

function makeTree({ server }: Places) {
  mkdirSync(join(server, 'world'));
  for (let index = 0; index < FILES; index += 1) {
    writeFileSync(join(server, 'world', `${index}`), randomBytes(20_000));
  }
}

const ours = (directory: string) => readdirSync(directory).filter((name) => name.startsWith('.catalyst-'));

test('killed while it packs: no archive, and the next agent removes the half of it', async () => {
  const places = makePlaces();
  makeTree(places);
  const before = describe(places.server);
  const request = { paths: ['/world'], to: '/a', format: 'tar.gz', replace: false };
  const writer = await startWriter(places, 'compress', request);
  await eventually('half of an archive', () =>
    ours(places.server).some((name) => statSync(join(places.server, name)).size > 1_000_000),
  );
  await kill(writer);
  expect(ours(places.server)).toEqual([expect.stringMatching(/\.part$/)]);
  const { service, compress, extract, at } = openArchives({ places });
  await service.cleanUp();
  expect(describe(places.server)).toEqual(before);
  await compress(['/world'], '/a', 'tar.gz');
  await extract('/a', '/new');
  expect(describe(at('new/world'))).toEqual(describe(at('world')));
});

test('killed while it unpacks: nothing of it is there, and the next agent removes what was beside it', async () => {
  const places = makePlaces();
  makeTree(places);
  const { compress } = openArchives({ places: { ...places, root: join(places.root, 'first') } });
  await compress(['/world'], '/a', 'tar');
  writeFileSync(join(places.server, 'world/0'), 'not to be replaced by half');
  const before = describe(places.server);
  const writer = await startWriter(places, 'extract', { path: '/a', to: '/' });
  await eventually('half of a directory', () =>
    ours(places.server).some((name) => {
      const [inner] = readdirSync(join(places.server, name));
      return inner !== undefined && readdirSync(join(places.server, name, inner)).length > 100;
    }),
  );
  await kill(writer);
  expect(ours(places.server)).toEqual([expect.stringMatching(/\.unpacking$/)]);
  const { service, extract, at } = openArchives({ places });
  await service.cleanUp();
  expect(describe(places.server)).toEqual(before);
  await extract('/a', '/');
  expect(statSync(at('world/0')).size).toBe(20_000);
});
