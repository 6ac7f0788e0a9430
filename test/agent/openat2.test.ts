import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import fc from 'fast-check';
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { toFileError } from '../../agent/files/errors.js';
import type { PathHandle } from '../../agent/files/paths/descriptors.js';
import { type Beneath, loadBeneath } from '../../agent/files/paths/openat2.js';
import { type Root, walkToParent, walkToThing } from '../../agent/files/paths/walk.js';
import { CANARY, makePlaces, removePlaces } from '../helpers/path-tricks.js';
import { makeDataDir } from './harness.js';

const RACE_MS = 4000;
const kernel = await loadBeneath(pino({ level: 'silent' }));

function makeTree() {
  const places = makePlaces();
  onTestFinished(() => removePlaces(places));
  const counts = { kernel: 0, walk: 0 };
  const counting: Beneath = {
    open(...request) {
      const opened = kernel?.open(...request) ?? null;
      counts[opened === null ? 'walk' : 'kernel'] += 1;
      return opened;
    },
  };
  const link = (target: string, name: string) => {
    mkdirSync(dirname(join(places.server, name)), { recursive: true });
    symlinkSync(target, join(places.server, name));
  };
  const walking: Root = { path: places.server, beneath: null };
  return { places, counts, link, walking, quick: { ...walking, beneath: counting } satisfies Root };
}

const WAYS = {
  parent: async (root: Root, names: string[]) => (await walkToParent(root, names)).parent,
  thing: (root: Root, names: string[]) => walkToThing(root, names, true),
  'thing or link': (root: Root, names: string[]) => walkToThing(root, names, false),
};

/** Which thing it is, or what is said instead. */
async function outcome(opening: Promise<PathHandle>): Promise<string> {
  let place: PathHandle;
  try {
    place = await opening;
  } catch (thrown) {
    const error = toFileError(thrown);
    return error instanceof Error && 'code' in error ? `${error.code}: ${error.message}` : String(error);
  }
  const { ino, dev, mode } = await place.stat();
  await place.close();
  return `${dev}/${ino} ${mode.toString(8)}`;
}

async function expectSame(roots: { walking: Root; quick: Root }, names: string[]): Promise<string[]> {
  const outcomes: string[] = [];
  for (const [way, open] of Object.entries(WAYS)) {
    const walked = await outcome(open(roots.walking, names));
    expect(await outcome(open(roots.quick, names)), `${way} of ${names.join('/')}`).toBe(walked);
    outcomes.push(walked);
  }
  return outcomes;
}

test.runIf(process.platform === 'linux' && process.arch === 'x64')('the native call is there', () => {
  expect(kernel).not.toBeNull();
});

/** What the agent says about it at its start, run from this file. */
async function announcedBy(bundle: string): Promise<string> {
  const dataDir = makeDataDir();
  const child = spawn(process.execPath, [bundle], {
    env: {
      PATH: process.env.PATH,
      PANEL_URL: 'http://127.0.0.1:9',
      NODE_ID: 'node-1',
      NODE_TOKEN: 'token-1',
      AGENT_DATA_DIR: dataDir,
      RUNTIME: 'process',
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  onTestFinished(async () => {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  });
  for await (const line of createInterface({ input: child.stdout })) {
    if (line.includes('paths of files')) return line;
  }
  throw new Error('The agent said nothing about it.');
}

test('the agent says how it looks files up: an agent that came as one file walks', async () => {
  const alone = join(makeDataDir(), 'catalyst-agent.mjs');
  copyFileSync(resolve('dist/catalyst-agent.mjs'), alone);
  expect(await announcedBy(alone)).toMatch(/looked up by walking.*koffi|koffi.*looked up by walking/);
  const way = kernel === null ? 'by walking' : 'by the kernel';
  expect(await announcedBy(resolve('dist/catalyst-agent.mjs'))).toContain(`looked up ${way}`);
});

describe.runIf(kernel)('the kernel’s way is the walk, only faster', () => {
  test('what is there is opened without walking once it has been looked at, however deep', async () => {
    const { places, quick, counts } = makeTree();
    const names = Array.from({ length: 12 }, (_, index) => `level-${index}`);
    mkdirSync(join(places.server, ...names), { recursive: true });
    writeFileSync(join(places.server, ...names, 'file'), '');
    for (const open of Object.values(WAYS)) await (await open(quick, [...names, 'file'])).close();
    expect(counts).toEqual({ kernel: 3, walk: 0 });
  });

  test('every kind of link and obstacle, with the same words', async () => {
    const { places, link, ...roots } = makeTree();
    const { server } = places;
    mkdirSync(join(server, 'a/b/c'), { recursive: true });
    writeFileSync(join(server, 'a/b/c/file'), '');
    link('a/b', 'in');
    link('in/c/../../b/./c//', 'winding');
    link('../../a/b', 'a/b/c/up');
    link('../../../..', 'a/b/c/out');
    link('a/../..', 'beyond');
    link(join(server, 'a'), 'absolute');
    link('/proc/self/root', 'magic');
    link('nowhere', 'dangling');
    link('.', 'here');
    link('a/b/c/file/', 'slash');
    link('me', 'me');
    link('there', 'back');
    link('back', 'there');
    link('x'.repeat(300), 'long');
    for (let index = 0; index < 45; index += 1)
      link(index === 0 ? 'a' : `chain${index - 1}`, `chain${index}`);
    const seen = new Set<string>();
    for (const path of [
      ...[
        '',
        'a',
        'a/b/c/file',
        'a/b/c/file/x',
        'in/c/file',
        'winding/file',
        'winding/up/c/file',
        'here/here/a',
      ],
      ...['winding/out', 'winding/out/x', 'beyond', 'beyond/server', 'absolute/b', 'magic/etc', 'dangling'],
      ...[
        'dangling/x',
        'slash',
        'slash/x',
        'me',
        'me/x',
        'back/x',
        'long/x',
        'nothing',
        'nothing/x',
        'a/nothing/x',
      ],
      ...[
        'chain38/b',
        'chain39/b',
        'chain40/b',
        'chain44/b',
        'chain39',
        'chain40',
        'd/file',
        `${'n'.repeat(256)}/x`,
      ],
    ]) {
      const names = path.split('/').filter((name) => name !== '');
      for (const outcome of await expectSame(roots, names)) seen.add(outcome.replace(/:.*|\d+\/\d+ /, ''));
    }
    expect([...seen]).toEqual(
      expect.arrayContaining(['file.outside', 'file.not_directory', 'file.not_found']),
    );
    expect(roots.counts.kernel).toBeGreaterThan(20);
  });

  test('any tree of links', async () => {
    const word = fc.constantFrom('a', 'b', 'c', '..', '.', '');
    const target = fc.array(word, { minLength: 1, maxLength: 6 }).map((words) => words.join('/'));
    const where = fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 4 });
    const property = fc.asyncProperty(
      fc.array(where, { maxLength: 6 }),
      fc.array(fc.tuple(where, target), { maxLength: 6 }),
      fc.array(where, { minLength: 1, maxLength: 6 }),
      async (directories, links, paths) => {
        const { places, link, ...roots } = makeTree();
        const attempt = (make: () => void) => {
          try {
            make();
          } catch {
            // Something else has this name.
          }
        };
        for (const names of directories)
          attempt(() => mkdirSync(join(places.server, ...names), { recursive: true }));
        for (const [names, text] of links) attempt(() => link(text, names.join('/')));
        for (const names of paths) await expectSame(roots, names);
        removePlaces(places);
      },
    );
    await fc.assert(property, { numRuns: 60 });
  });

  test('no descriptor is left open, whatever it was opened for', async () => {
    const { quick, link } = makeTree();
    link('d', 'in');
    link('../outside', 'out');
    const openCount = () => readdirSync('/proc/self/fd').length;
    const before = openCount();
    for (let turn = 0; turn < 50; turn += 1) {
      for (const path of [
        ['d', 'file'],
        ['in', 'file'],
        ['out', CANARY],
        ['nothing', 'x'],
      ]) {
        for (const open of Object.values(WAYS)) await outcome(open(quick, path));
      }
    }
    expect(openCount()).toBeLessThanOrEqual(before + 2);
  });
});

describe.each(kernel === null ? ['by walking'] : ['by walking', 'by the kernel'])('a race, %s', (way) => {
  test('a directory and a link to the outside change places all the time, and nothing outside is opened', async () => {
    const { places, walking, quick, counts } = makeTree();
    const { server, outside } = places;
    mkdirSync(join(server, 'way/inner'), { recursive: true });
    symlinkSync(`../${basename(outside)}`, join(server, 'link'));
    const { ino } = statSync(join(server, 'way/inner'));
    const opened = new Set<number>();
    const script = `
      const { renameSync } = require('node:fs');
      process.chdir(${JSON.stringify(server)});
      process.stdout.write('ready');
      for (;;) {
        renameSync('way', 'aside'); renameSync('link', 'way');
        renameSync('way', 'link'); renameSync('aside', 'way');
      }`;
    const attack = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    onTestFinished(() => void attack.kill('SIGKILL'));
    await once(attack.stdout, 'data');
    const root = way === 'by the kernel' ? quick : walking;
    let [inside, refused] = [0, 0];
    for (const endMs = performance.now() + RACE_MS; performance.now() < endMs; ) {
      try {
        const place = await walkToThing(root, ['way', 'inner'], true);
        opened.add((await place.stat()).ino);
        await place.close();
        inside += 1;
      } catch {
        refused += 1;
      }
    }
    expect(attack.exitCode).toBeNull();
    expect([...opened]).toEqual([ino]);
    expect(Math.min(inside, refused)).toBeGreaterThan(20);
    if (way === 'by the kernel') expect(counts.kernel).toBeGreaterThan(20);
  }, 30_000);
});
