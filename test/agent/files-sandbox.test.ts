import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { applyConfigFiles } from '../../agent/config-files/apply.js';
import { createSandbox } from '../../agent/config-files/sandbox.js';
import { claimTree } from '../../agent/files/ownership.js';
import type { ConfigFile } from '../../src/protocol/server-specification.js';
import { isRoot, SERVER_UID } from './harness.js';

const owner = isRoot ? { uid: SERVER_UID, gid: SERVER_UID } : null;
const ATTACK_MS = 5000;

/** A server's directory, and beside it one that nothing may ever reach. */
function makePlaces() {
  const root = mkdtempSync(join(tmpdir(), 'catalyst-sandbox-'));
  onTestFinished(() => rmSync(root, { recursive: true, force: true }));
  const [server, outside] = [join(root, 'server'), join(root, 'outside')];
  for (const path of [server, outside]) mkdirSync(path);
  writeFileSync(join(outside, 'secret'), 'key=canary\n');
  return { server, outside, secret: join(outside, 'secret') };
}

function run(tool: string, ...words: string[]) {
  execFileSync(tool, words, { stdio: 'ignore' });
}

function apply(directory: string, ...paths: string[]) {
  const files = paths.map((path): ConfigFile => ({ path, parser: 'properties', values: { key: 'set' } }));
  return applyConfigFiles({ directory, files, owner });
}

test('a file keeps its mode without set-user-id, gets the owner of the servers, and its directories are made', async () => {
  const { server } = makePlaces();
  writeFileSync(join(server, 'a'), 'key=x\n');
  chmodSync(join(server, 'a'), 0o4710);
  expect(await apply(server, '/a', 'x/y/b', './x//c')).toEqual([]);
  expect(readFileSync(join(server, 'a'), 'utf8')).toBe('key=set\n');
  expect(statSync(join(server, 'a')).mode & 0o7777).toBe(0o710);
  const made = ['x', 'x/y', 'x/y/b', 'x/c', 'a'];
  for (const path of made) expect(statSync(join(server, path)).uid).toBe(owner?.uid ?? process.getuid?.());
  expect(readdirSync(server).sort()).toEqual(['a', 'x']);
});

test('what is right already is not written', async () => {
  const { server } = makePlaces();
  await apply(server, 'a');
  const before = statSync(join(server, 'a'));
  expect(await apply(server, 'a')).toEqual([]);
  expect(statSync(join(server, 'a'))).toMatchObject({ ino: before.ino, mtimeMs: before.mtimeMs });
});

test.each<[string, string, (places: ReturnType<typeof makePlaces>) => void, string]>([
  ['a path that climbs', '../outside/secret', () => {}, 'leads out'],
  ['a path that climbs on its way', 'a/../../outside/secret', () => {}, 'leads out'],
  ['the directory itself', '/', () => {}, 'not the path of a file'],
  ['a directory', 'd/', ({ server }) => mkdirSync(join(server, 'd')), 'not the path of a file'],
  ['a path with a NUL', 'a\0b', () => {}, 'not the path of a file'],
  ['a path without end', 'd/'.repeat(100), () => {}, 'not the path of a file'],
  ['a deep path', 'd/'.repeat(100).concat('e'), () => {}, 'too deep'],
  ['a link to a file', 'l', ({ server, secret }) => symlinkSync(secret, join(server, 'l')), 'a link'],
  [
    'a link that leads nowhere',
    'l',
    ({ server, outside }) => symlinkSync(join(outside, 'new'), join(server, 'l')),
    'a link',
  ],
  ['a link inside of the directory', 'l', ({ server }) => symlinkSync('a', join(server, 'l')), 'a link'],
  [
    'a link to a directory',
    'l/secret',
    ({ server, outside }) => symlinkSync(outside, join(server, 'l')),
    '"l" is a link',
  ],
  [
    'a file on the way',
    'f/secret',
    ({ server }) => writeFileSync(join(server, 'f'), ''),
    '"f" is a link or otherwise no directory',
  ],
  [
    'a hard link to a foreign file',
    'h',
    ({ server, secret }) => linkSync(secret, join(server, 'h')),
    'a hard link',
  ],
  ['a FIFO', 'p', ({ server }) => run('mkfifo', join(server, 'p')), 'no ordinary file'],
  [
    'a directory in the place of the file',
    'd',
    ({ server }) => mkdirSync(join(server, 'd')),
    'no ordinary file',
  ],
  [
    'a huge file',
    'b',
    ({ server }) => writeFileSync(join(server, 'b'), Buffer.alloc(5 * 1024 * 1024, 97)),
    'larger than 4 MB',
  ],
  [
    'a file of a terabyte of nothing',
    'b',
    ({ server }) => {
      writeFileSync(join(server, 'b'), '');
      truncateSync(join(server, 'b'), 2 ** 40);
    },
    'larger than 4 MB',
  ],
  [
    'a file that is no text',
    'b',
    ({ server }) => writeFileSync(join(server, 'b'), Buffer.alloc(100)),
    'not a text file',
  ],
])('%s is left alone, with a sentence that says why', async (_, path, arrange, reason) => {
  const places = makePlaces();
  arrange(places);
  const [problem, ...others] = await apply(places.server, path, 'other');
  expect(problem).toContain(reason);
  expect(others).toEqual([]);
  expect(readFileSync(places.secret, 'utf8')).toBe('key=canary\n');
  expect(readdirSync(places.outside)).toEqual(['secret']);
  expect(readFileSync(join(places.server, 'other'), 'utf8')).toBe('key=set\n');
});

test.runIf(isRoot)('a device is never opened', async () => {
  const { server } = makePlaces();
  try {
    run('mknod', join(server, 'device'), 'c', '1', '3');
  } catch {
    return console.warn('no devices can be made here');
  }
  expect(await apply(server, 'device')).toEqual([expect.stringContaining('no ordinary file')]);
});

/** A process that exchanges a directory and a link to the outside as fast as it can, and a file and a link. */
function startAttack(server: string, outside: string): ChildProcess {
  const script = `
    const { lstatSync, renameSync, symlinkSync, rmSync } = require('node:fs');
    const [server, outside, secret] = ${JSON.stringify([server, outside, join(outside, 'secret')])};
    process.chdir(server);
    symlinkSync(outside, 'link');
    symlinkSync(secret, 'file-link');
    const attempt = (step) => { try { step(); } catch {} };
    for (;;) {
      attempt(() => renameSync('d', 'aside'));
      attempt(() => rmSync('aside/secret', { force: true }));
      attempt(() => renameSync('file-link', 'aside/secret'));
      attempt(() => renameSync('link', 'd'));
      attempt(() => renameSync('d', 'link'));
      // Made by the other side meanwhile.
      attempt(() => lstatSync('d').isDirectory() && rmSync('d', { recursive: true }));
      attempt(() => renameSync('aside', 'd'));
      attempt(() => renameSync('d/secret', 'file-link'));
      attempt(() => lstatSync('file-link').isFile() && rmSync('file-link'));
      attempt(() => symlinkSync(secret, 'file-link'));
    }`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

test('nothing outside is read or changed while directories and links change places under it', async () => {
  const { server, outside, secret } = makePlaces();
  mkdirSync(join(server, 'd'));
  const attack = startAttack(server, outside);
  const before = statSync(secret);
  const sandbox = createSandbox(server, owner);
  const endMs = performance.now() + ATTACK_MS;
  let [done, refused] = [0, 0];
  while (performance.now() < endMs) {
    try {
      const found = await sandbox.read('d/secret', 1000);
      expect(String(found?.content)).not.toContain('canary');
      await sandbox.replace('d/secret', { content: Buffer.from('key=set\n'), mode: 0o644 });
      done += 1;
    } catch (error) {
      if (error instanceof Error && error.name === 'AssertionError') throw error;
      refused += 1;
    }
  }
  expect(attack.exitCode).toBeNull();
  expect(done).toBeGreaterThan(100);
  expect(refused).toBeGreaterThan(100);
  expect(readFileSync(secret, 'utf8')).toBe('key=canary\n');
  const { ino, uid, mode } = statSync(secret);
  expect({ ino, uid, mode }).toEqual({ ino: before.ino, uid: before.uid, mode: before.mode });
  expect(readdirSync(outside)).toEqual(['secret']);
}, 30_000);

test.runIf(isRoot)(
  'a tree is given to the owner: links themselves, no set-user-id, no devices, any name',
  async () => {
    const { server, outside, secret } = makePlaces();
    const deep = join(server, 'a', 'b');
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(deep, 'program'), '');
    chmodSync(join(deep, 'program'), 0o6755);
    chmodSync(deep, 0o3777);
    const odd = Buffer.concat([Buffer.from(`${server}/`), Buffer.from([0xff, 0xfe])]);
    writeFileSync(odd, '');
    symlinkSync(secret, join(server, 'link'));
    symlinkSync(outside, join(deep, 'out'));
    run('mkfifo', join(deep, 'fifo'));
    chownSync(join(deep, 'fifo'), 1234, 1234);
    let hasDevice = true;
    try {
      run('mknod', join(deep, 'device'), 'b', '7', '0');
    } catch {
      hasDevice = false;
    }
    const ids = { uid: SERVER_UID, gid: SERVER_UID };
    await claimTree(server, ids);
    for (const path of ['', 'a', 'a/b', 'a/b/program', 'a/b/fifo', 'a/b/out', 'link']) {
      expect(lstatSync(join(server, path)), path).toMatchObject(ids);
    }
    expect(lstatSync(odd)).toMatchObject(ids);
    expect(lstatSync(join(deep, 'program')).mode & 0o7777).toBe(0o755);
    expect(lstatSync(deep).mode & 0o7777).toBe(0o777);
    if (hasDevice) expect(existsSync(join(deep, 'device'))).toBe(false);
    expect(statSync(secret)).toMatchObject({ uid: 0, gid: 0 });
    expect(statSync(outside)).toMatchObject({ uid: 0, gid: 0 });
  },
);
