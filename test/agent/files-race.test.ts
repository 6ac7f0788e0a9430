import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import {
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { loadBeneath } from '../../agent/files/paths/openat2.js';
import { tarOf } from '../helpers/archive-records.js';
import { CANARY, describeOutside, type Places } from '../helpers/path-tricks.js';
import { EVERY_OPERATION, type Files, openFiles, UUID } from './files-harness.js';

const ATTACK_MS = 20_000;
/** Of looking first and opening then, after each operation: what the attack is for. */
const CARELESS_READS = 20;
/** On a machine with much else to do it may take longer until the first of them is led outside. */
const MORE_MS = 20_000;

/** Exchanges a directory and a link to the outside, and a file and a link, as fast as it can, and mends what was undone. */
function startAttack({ server, outside, secret }: Places, counterFile: string): ChildProcess {
  const script = `
    const fs = require('node:fs');
    const [server, outside, secret, counterFile] = ${JSON.stringify([server, outside, secret, counterFile])};
    process.chdir(server);
    const attempt = (step) => { try { step(); } catch {} };
    const counter = fs.openSync(counterFile, 'w');
    for (let swaps = 0; ; swaps += 160) {
      fs.writeSync(counter, String(swaps), 0);
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

const OPERATIONS: typeof EVERY_OPERATION = {
  ...EVERY_OPERATION,
  search: ({ operate }, path) => operate('search', { path, text: '*', limit: 100 }),
  'copy from': async (files, path) => {
    await files.operate('copy', { from: path, to: 'copied' });
    return textBelow(files.at('copied'));
  },
  compress: async (files, path) => {
    const request = { paths: [path], to: 'packed', format: 'tar' as const, replace: true };
    await files.service.work(UUID, 'compress', request, { ...files.call, report() {} });
    // Names and links are the attacker's own; what counts is what is in the files.
    return execFileSync('tar', ['-xOf', files.at('packed')], { encoding: 'utf8' });
  },
  extract: async (files, path) => {
    writeFileSync(files.at('archive'), ARCHIVE);
    const request = { path: 'archive', to: path };
    await files.service.work(UUID, 'extract', request, { ...files.call, report() {} });
  },
};

const ARCHIVE = tarOf(
  { name: CANARY, content: 'unpacked' },
  { name: `inner/${CANARY}`, content: 'unpacked' },
  { name: 'new', content: 'unpacked' },
);

/** Some need luck: that what they are asked for is a link just then. */
const NEVER_DONE_MAX = 3;

interface Count {
  done: number;
  refused: number;
}

/** What is shown of outside, if anything is. */
async function tryOnce(files: Files, name: string, path: string, count: Count): Promise<string | null> {
  const answer = await OPERATIONS[name]?.(files, path).then(
    (text) => ({ text }),
    () => null,
  );
  if (answer === null || answer === undefined) {
    count.refused += 1;
    return null;
  }
  count.done += 1;
  return showsOutside(answer.text) ? `${name} of ${path} shows ${JSON.stringify(answer.text)}` : null;
}

/** Names are the same inside and outside. What is in files is not, nor is how long it is where only that is told. */
function showsOutside(answer: unknown): boolean {
  const isOfOutside = `"kind":"file","sizeBytes":${CANARY.length},`;
  return typeof answer === 'string'
    ? answer.includes(CANARY)
    : (JSON.stringify(answer) ?? '').includes(isOfOutside);
}

/** As others did it before they were broken into. Whether it was led outside. */
function readCarelessly(server: string): boolean {
  try {
    const path = join(server, 'swap', CANARY);
    if (!realpathSync(path).startsWith(`${server}/`)) return false;
    return readFileSync(path, 'utf8') === CANARY;
  } catch {
    return false;
  }
}

function textBelow(path: string): string {
  if (!lstatSync(path).isDirectory()) return lstatSync(path).isFile() ? readFileSync(path, 'utf8') : '';
  return readdirSync(path)
    .map((name) => textBelow(join(path, name)))
    .join('\n');
}

async function tidy({ at, operate, service, call }: Files): Promise<void> {
  for (const { uploadId } of (await operate('list-uploads', {})).uploads) {
    // Whatever became of it, it takes no place any more.
    await operate('cancel-upload', { uploadId }).catch(() => {});
  }
  await service.closeConnection(call.connection);
  for (const made of ['renamed', 'copied', 'packed', 'archive', 'made']) {
    rmSync(at(made), { recursive: true, force: true });
  }
  mkdirSync(at('d'), { recursive: true });
  writeFileSync(at('d/file'), 'inside');
}

test.each([
  ...['list', 'search', 'copy from', 'compress'].map((name) => [name, 'like']),
  ...['stat', 'stat of the target', 'read', 'open for reading'].map((name) => [name, `like/${CANARY}`]),
])('what is outside would be noticed in the answer of %s', async (name = '', path = '') => {
  for (const content of ['inside', CANARY]) {
    const files = openFiles();
    mkdirSync(files.at('like'));
    writeFileSync(files.at(`like/${CANARY}`), content);
    expect(showsOutside(await OPERATIONS[name]?.(files, path)), content).toBe(content === CANARY);
  }
});

test('nothing outside is shown or changed while directories and links change places during every operation', async () => {
  const walking = openFiles();
  const { places } = walking;
  const beneath = await loadBeneath(pino({ level: 'silent' }));
  // The kernel's way of looking paths up, where it has one, and ours: both are tried.
  const services = [walking, ...(beneath ? [openFiles({ places, beneath })] : [])];
  mkdirSync(join(places.server, 'real'));
  writeFileSync(join(places.server, 'real', CANARY), 'inside');
  symlinkSync(places.outside, join(places.server, 'link'));
  const before = describeOutside(places);
  const counterFile = join(places.root, 'swaps');
  const attack = startAttack(places, counterFile);
  const counts = new Map(Object.keys(OPERATIONS).map((name) => [name, { done: 0, refused: 0 }]));
  const escapes: string[] = [];
  let carelessEscapes = 0;
  const endMs = performance.now() + ATTACK_MS;
  for (let round = 0; performance.now() < endMs && escapes.length === 0; round += 1) {
    const files = services[round % services.length] ?? walking;
    for (const [name, count] of counts) {
      for (const path of RACED_PATHS) {
        const shown = await tryOnce(files, name, path, count);
        if (shown !== null) escapes.push(shown);
      }
      if (describeOutside(places) !== before) escapes.push(`${name} changed something outside`);
      await tidy(files);
      for (let read = 0; read < CARELESS_READS; read += 1) {
        if (readCarelessly(places.server)) carelessEscapes += 1;
      }
    }
  }
  while (carelessEscapes === 0 && performance.now() < endMs + MORE_MS) {
    if (readCarelessly(places.server)) carelessEscapes += 1;
  }
  expect(escapes).toEqual([]);
  expect(attack.exitCode).toBeNull();
  // That all was refused, or nothing, would prove little; nor would an attack that gets nobody out.
  expect(Number(readFileSync(counterFile, 'utf8'))).toBeGreaterThan(10_000);
  expect(carelessEscapes).toBeGreaterThan(0);
  expect([...counts].filter(([, { refused }]) => refused === 0)).toEqual([]);
  expect([...counts].filter(([, { done }]) => done === 0).length).toBeLessThanOrEqual(NEVER_DONE_MAX);
}, 60_000);
