import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { CANARY, describeOutside, type Places } from '../helpers/path-tricks.js';
import { EVERY_OPERATION, type Files, openFiles } from './files-harness.js';

const ATTACK_MS = 10_000;

/** Exchanges a directory and a link to the outside, and a file and a link, as fast as it can, and mends what was undone. */
function startAttack({ server, outside, secret }: Places): ChildProcess {
  const script = `
    const fs = require('node:fs');
    const [server, outside, secret] = ${JSON.stringify([server, outside, secret])};
    process.chdir(server);
    const attempt = (step) => { try { step(); } catch {} };
    for (;;) {
      attempt(() => fs.mkdirSync('real'));
      attempt(() => fs.mkdirSync('real/inner'));
      attempt(() => fs.writeFileSync('real/${CANARY}', 'inside', { flag: 'wx' }));
      attempt(() => fs.symlinkSync(outside, 'link'));
      attempt(() => fs.symlinkSync(secret, 'file-link'));
      for (let turn = 0; turn < 20; turn += 1) {
        attempt(() => fs.renameSync('real', 'swap'));
        attempt(() => fs.renameSync('swap', 'real'));
        attempt(() => fs.renameSync('link', 'swap'));
        attempt(() => fs.renameSync('swap', 'link'));
        attempt(() => fs.renameSync('real/${CANARY}', 'real/aside'));
        attempt(() => fs.renameSync('file-link', 'real/${CANARY}'));
        attempt(() => fs.renameSync('real/${CANARY}', 'file-link'));
        attempt(() => fs.renameSync('real/aside', 'real/${CANARY}'));
      }
      attempt(() => fs.lstatSync('swap').isDirectory() ? fs.rmSync('swap', { recursive: true }) : fs.unlinkSync('swap'));
    }`;
  const child = spawn(process.execPath, ['-e', script], { stdio: 'ignore' });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** What the other side swaps is under this name half of the time a directory, half of the time a link. */
const RACED_PATHS = ['swap', `swap/${CANARY}`, 'swap/inner', `real/${CANARY}`, `swap/inner/${CANARY}`];

async function tryOnce(files: Files, operation: string, path: string): Promise<boolean> {
  try {
    const answer = await EVERY_OPERATION[operation]?.(files, path);
    // The name is the same inside and outside, the content is not.
    if (typeof answer === 'string') expect(answer, operation).not.toContain(CANARY);
    return true;
  } catch (error) {
    if (error instanceof Error && error.name === 'AssertionError') throw error;
    return false;
  }
}

test('nothing outside is shown or changed while directories and links change places during every operation', async () => {
  const files = openFiles();
  const { places } = files;
  mkdirSync(join(places.server, 'real'));
  writeFileSync(join(places.server, 'real', CANARY), 'inside');
  symlinkSync(places.outside, join(places.server, 'link'));
  const before = describeOutside(places);
  const attack = startAttack(places);
  const counts = new Map<string, { done: number; refused: number }>();
  const endMs = performance.now() + ATTACK_MS;
  while (performance.now() < endMs) {
    for (const operation of Object.keys(EVERY_OPERATION)) {
      const count = counts.get(operation) ?? { done: 0, refused: 0 };
      for (const path of RACED_PATHS) {
        if (await tryOnce(files, operation, path)) count.done += 1;
        else count.refused += 1;
      }
      counts.set(operation, count);
      if (operation === 'copy from') {
        expect(String(await files.read('copied').catch(() => ''))).not.toContain(CANARY);
        expect(String(await files.read(`copied/${CANARY}`).catch(() => ''))).not.toContain(CANARY);
      }
      for (const made of ['renamed', 'copied']) rmSync(files.at(made), { recursive: true, force: true });
      mkdirSync(files.at('d'), { recursive: true });
      writeFileSync(files.at('d/file'), 'inside');
      await files.service.closeConnection(files.call.connection);
    }
  }
  expect(describeOutside(places)).toBe(before);
  expect(attack.exitCode).toBeNull();
  const total = [...counts.values()];
  expect(total.reduce((sum, { done }) => sum + done, 0)).toBeGreaterThan(50);
  expect(total.reduce((sum, { refused }) => sum + refused, 0)).toBeGreaterThan(50);
}, 60_000);
