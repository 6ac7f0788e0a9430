import {
  appendFileSync,
  closeSync,
  fstatSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  renameSync,
  rmdirSync,
  rmSync,
  type Stats,
  truncateSync,
  unlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { type AtCloseFiles, describeTree, openAtClose } from './at-close-harness.js';

const SEEDS = 15;
const STEPS = 60;
const PLACES = ['d', 'e'].flatMap((directory) => [directory, `${directory}/a`, `${directory}/b`]);
const PATHS = ['a', 'b', ...PLACES];

/** Open in both worlds: by the agent, and in a directory that the system's own calls keep. */
interface Pair {
  handle: string;
  descriptor: number;
}

interface World {
  files: AtCloseFiles;
  pick<Side>(sides: readonly Side[]): Side;
  model(path: string): string;
  open: Pair[];
}

/** The same choices for the same seed. */
function createDice(seed: number) {
  let state = seed;
  return <Side>(sides: readonly Side[]): Side => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    const side = sides[(state >>> 8) % sides.length];
    if (side === undefined) throw new Error('there is nothing to pick from');
    return side;
  };
}

function statusOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch {
    return null;
  }
}

type Step = [agent: () => Promise<unknown>, system: () => unknown];
const NOTHING: Step = [async () => {}, () => {}];

/** The same twice: as the agent does it, and as the system does. */
const STEP_OF: Record<string, (world: World) => Step> = {
  begin({ files, pick, model, open }) {
    const [path, exclusive] = [pick(PATHS), pick([false, true])];
    const inode = statusOf(model(path))?.ino;
    // Two who make one file anew at the same time write two files here, and one there.
    if (open.some(({ descriptor }) => fstatSync(descriptor).ino === inode)) return NOTHING;
    const pair: Pair = { handle: '', descriptor: -1 };
    return [
      async () => {
        pair.handle = await files.begin(path, { exclusive, truncate: !exclusive });
      },
      () => {
        pair.descriptor = openSync(model(path), exclusive ? 'wx' : 'w');
        open.push(pair);
      },
    ];
  },
  write({ files, pick, open }) {
    if (open.length === 0) return NOTHING;
    const [{ handle, descriptor }, text, offset] = [pick(open), pick(['one', 'another']), pick([0, 2, 9])];
    return [() => files.put(handle, text, offset), () => writeSync(descriptor, text, offset)];
  },
  close({ files, pick, open }) {
    if (open.length === 0) return NOTHING;
    const pair = pick(open);
    open.splice(open.indexOf(pair), 1);
    return [() => files.close(pair.handle), () => closeSync(pair.descriptor)];
  },
  append({ files, pick, model }) {
    const path = pick(PATHS);
    return [
      async () => {
        const { handle } = await files.open(path, { write: true, append: true, create: true });
        await files.put(handle, 'end');
        await files.close(handle);
      },
      () => appendFileSync(model(path), 'end'),
    ];
  },
  resize({ files, pick, model }) {
    const [path, sizeBytes] = [pick(PATHS), pick([0, 5])];
    return [
      () => files.operate('set-attributes', { path, sizeBytes }),
      () => truncateSync(model(path), sizeBytes),
    ];
  },
  rename({ files, pick, model }) {
    const [from, to] = [pick(PATHS), pick(PATHS)];
    return [
      () => files.operate('rename', { from, to, replace: true }),
      () => renameSync(model(from), model(to)),
    ];
  },
  remove({ files, pick, model }) {
    const path = pick(PATHS);
    const remove = statusOf(model(path))?.isDirectory() ? rmdirSync : unlinkSync;
    return [() => files.operate('remove', { path, recursive: false }), () => remove(model(path))];
  },
  'remove all'({ files, pick, model }) {
    const path = pick(PATHS);
    return [
      () => files.operate('remove', { path, recursive: true }),
      () => rmSync(model(path), { recursive: true }),
    ];
  },
  'make directory'({ files, pick, model }) {
    const path = pick(['d', 'e']);
    return [() => files.operate('make-directory', { path, parents: false }), () => mkdirSync(model(path))];
  },
};
/** Some more often than others: there must be something to do the others to. */
const NAMES = [
  ...Object.keys(STEP_OF),
  'begin',
  'begin',
  'write',
  'write',
  'rename',
  'rename',
  'make directory',
];

/** As users see it. */
async function shownTree(files: AtCloseFiles, path = ''): Promise<Record<string, string>> {
  const { entries } = await files.operate('list', { path, limit: 100 });
  const found: Record<string, string> = {};
  for (const { name, kind, sizeBytes } of entries) {
    const at = path === '' ? name : `${path}/${name}`;
    if (kind === 'directory') Object.assign(found, { [`${at}/`]: '' }, await shownTree(files, at));
    else found[at] = String(await files.read(at, { length: sizeBytes }));
  }
  return found;
}

async function settled(work: () => unknown): Promise<boolean> {
  try {
    await work();
    return true;
  } catch {
    return false;
  }
}

test('whatever is done to files that are being written looks as if they had been under their names all the time', async () => {
  const counts = { done: 0, refused: 0 };
  const open: number[] = [];
  for (let seed = 1; seed <= SEEDS; seed += 1) {
    const directory = mkdtempSync(join(tmpdir(), 'catalyst-model-'));
    onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
    const model = (path: string) => join(directory, path);
    mkdirSync(model('d'));
    writeFileSync(model('d/file'), 'inside');
    const world: World = { files: openAtClose(), pick: createDice(seed), model, open: [] };
    const history: string[] = [];
    for (let step = 0; step < STEPS; step += 1) {
      const name = world.pick(NAMES);
      const [agent, system] = STEP_OF[name]?.(world) ?? NOTHING;
      const [isDone, shouldBe] = [await settled(agent), await settled(system)];
      history.push(`${name}: ${isDone}`);
      const seen = `seed ${seed}, ${history.join(', ')}`;
      expect(isDone, seen).toBe(shouldBe);
      expect(await shownTree(world.files), seen).toEqual(describeTree(directory));
      counts[isDone ? 'done' : 'refused'] += 1;
    }
    for (const { handle, descriptor } of world.open) {
      await world.files.close(handle);
      closeSync(descriptor);
    }
    expect(world.files.onDisk(), `seed ${seed}`).toEqual(describeTree(directory));
    await world.files.service.close();
    open.push(readdirSync('/proc/self/fd').length);
  }
  // Nothing stays open: the last counts are no larger than the first.
  expect(Math.min(...open.slice(-5))).toBeLessThanOrEqual(Math.max(...open.slice(0, 5)));
  expect(counts.done).toBeGreaterThan(250);
  expect(counts.refused).toBeGreaterThan(50);
}, 120_000);
