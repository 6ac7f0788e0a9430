import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { tarOf, zipOf } from '../helpers/archive-records.js';
import { CANARY, describeOutside, type Places } from '../helpers/path-tricks.js';
import { countDescriptors, openArchives } from './archives-harness.js';

const ATTACK_MS = 3000;
/** Until both sides have won once. */
const ATTACK_MAX_MS = 20_000;

/**
 * Exchanges directories and files for links to the outside as fast as it can, in the server's directory and in what is
 * being unpacked, which it may enter as no game could.
 */
function startAttack({ server, outside, secret }: Places): ChildProcess {
  const script = `
    const fs = require('node:fs');
    const [server, outside, secret] = ${JSON.stringify([server, outside, secret])};
    process.chdir(server);
    const attempt = (step) => { try { return step(); } catch {} };
    const swap = (path, target) => {
      attempt(() => fs.symlinkSync(target, 'new-link'));
      attempt(() => fs.renameSync(path, 'aside'));
      attempt(() => fs.renameSync('new-link', path));
      attempt(() => fs.unlinkSync(path));
      attempt(() => fs.renameSync('aside', path));
    };
    for (;;) {
      attempt(() => fs.rmSync('aside', { recursive: true, force: true }));
      attempt(() => fs.mkdirSync('real/inner', { recursive: true }));
      attempt(() => fs.writeFileSync('real/${CANARY}', 'inside', { flag: 'wx' }));
      // Now and then something must succeed, too.
      if (Date.now() % 100 < 50) { Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5); continue; }
      swap('real', outside);
      swap('real/inner', outside);
      swap('real/${CANARY}', secret);
      for (const name of attempt(() => fs.readdirSync('.')) ?? []) {
        if (!name.endsWith('.unpacking')) continue;
        swap(name + '/real', outside);
        swap(name + '/real/inner', outside);
        swap(name, outside);
      }
    }`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

function makeReal({ server }: Places) {
  mkdirSync(join(server, 'real', 'inner'), { recursive: true });
  for (const name of [CANARY, `inner/${CANARY}`]) writeFileSync(join(server, 'real', name), 'inside');
}

const names = Array.from({ length: 20 }, (_, index) => `real/inner/${index}`);
const entries = ['real/first', ...names, `real/${CANARY}`].map((name) => ({
  name,
  content: 'of the archive',
}));

test('nothing outside is packed while directories and links change places', async () => {
  const { places, at, compress } = openArchives();
  const before = describeOutside(places);
  makeReal(places);
  const descriptors = countDescriptors();
  const attack = startAttack(places);
  let packed = 0;
  for (const end = performance.now() + ATTACK_MS; performance.now() < end; ) {
    const done = await compress(['/', '/real'], '/a.tar', 'tar', { replace: true }).catch(() => null);
    if (done === null) continue;
    packed += 1;
    expect(execFileSync('tar', ['-xOf', at('a.tar')], { encoding: 'utf8' })).not.toContain(CANARY);
  }
  expect(attack.exitCode).toBeNull();
  attack.kill('SIGKILL');
  expect(packed).toBeGreaterThan(2);
  expect(describeOutside(places)).toBe(before);
  expect(countDescriptors()).toBe(descriptors);
}, 30_000);

test('nothing outside is written while directories and links change places', async () => {
  const { places, at, extract } = openArchives();
  const before = describeOutside(places);
  writeFileSync(at('a.tar'), tarOf(...entries));
  writeFileSync(at('a.zip'), zipOf(entries));
  makeReal(places);
  const descriptors = countDescriptors();
  const attack = startAttack(places);
  const count = { done: 0, refused: 0 };
  const start = performance.now();
  const isEnough = () => count.done > 0 && count.refused > 0 && performance.now() > start + ATTACK_MS;
  while (!isEnough() && performance.now() < start + ATTACK_MAX_MS) {
    for (const target of ['/', '/real', '/real/inner', '/real/new']) {
      const archive = (count.done + count.refused) % 2 === 0 ? '/a.tar' : '/a.zip';
      const isDone = await extract(archive, target).then(
        () => true,
        () => false,
      );
      if (isDone) count.done += 1;
      else count.refused += 1;
    }
  }
  expect(attack.exitCode).toBeNull();
  attack.kill('SIGKILL');
  expect(count.done).toBeGreaterThan(0);
  expect(count.refused).toBeGreaterThan(0);
  expect(describeOutside(places)).toBe(before);
  expect(countDescriptors()).toBe(descriptors);
}, 30_000);
