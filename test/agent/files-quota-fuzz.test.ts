import fc from 'fast-check';
import { pino } from 'pino';
import { expect, test } from 'vitest';
import { type Claim, createQuota } from '../../agent/files/quota/quota.js';

const log = pino({ level: 'silent' });
const LIMIT = 1000;
const UUID = '11111111-1111-4111-8111-111111111111';
const server = { directory: '/nonexistent', limitBytes: LIMIT };

interface Look {
  /** What was there from the beginning of the measurement to its end, and what was there at any time of it. */
  lowBytes: number;
  highBytes: number;
  end(bytes: number): void;
}

/** A disk on which the bytes of our writers and the game's are told apart, and measurements end when they are told to. */
function makeDisk() {
  let look: Look | null = null;
  const disk = {
    oursBytes: 0,
    gamesBytes: 0,
    gameWroteBytes: 0,
    /** Changes with each measurement that begins. */
    looks: 0,
    add(kind: 'oursBytes' | 'gamesBytes', bytes: number) {
      disk[kind] += bytes;
      if (kind === 'gamesBytes') disk.gameWroteBytes += bytes;
      if (look !== null) look.highBytes += bytes;
    },
    /** @param newBytes Of them; they came after the measurement under way began. */
    remove(kind: 'oursBytes' | 'gamesBytes', bytes: number, newBytes = 0) {
      disk[kind] -= bytes;
      if (look !== null) look.lowBytes = Math.max(0, look.lowBytes - (bytes - newBytes));
    },
    endLook(isLow: boolean) {
      const ended = look;
      look = null;
      ended?.end(isLow ? ended.lowBytes : ended.highBytes);
    },
  };
  const quota = createQuota(log, () => {
    const bytes = disk.oursBytes + disk.gamesBytes;
    disk.looks += 1;
    return new Promise((resolve) => {
      look = { lowBytes: bytes, highBytes: bytes, end: resolve };
    });
  });
  return { disk, quota, account: quota.account(UUID, server) };
}

type Stage = ReturnType<typeof makeDisk> & { writers: Writer[]; keptBytes: number };

interface Writer {
  claim: Claim;
  leftBytes: number;
  writtenBytes: number;
  /** Written since the measurement of this number began. */
  newBytes: number;
  look: number;
}

const which = fc.nat();
const few = fc.integer({ min: 1, max: 500 });
const step = fc.oneof(
  fc.record({ kind: fc.constant('claim' as const), bytes: fc.integer({ min: 0, max: 700 }) }),
  fc.record({ kind: fc.constant('grow' as const), bytes: few, which }),
  fc.record({ kind: fc.constant('write' as const), parts: fc.integer({ min: 1, max: 3 }), which }),
  fc.record({ kind: fc.constant('end' as const), isKept: fc.boolean(), which }),
  fc.record({ kind: fc.constant('remove' as const), bytes: few }),
  fc.record({ kind: fc.constant('game writes' as const), bytes: few }),
  fc.record({ kind: fc.constant('game removes' as const), bytes: few }),
  fc.record({ kind: fc.constant('we remove the game’s' as const), bytes: few }),
  fc.record({ kind: fc.constant('measurement begins' as const) }),
  fc.record({ kind: fc.constant('measurement ends' as const), isLow: fc.boolean() }),
);
type Step = typeof step extends fc.Arbitrary<infer Value> ? Value : never;

/** Or not answered, because no measurement has ended. */
function refused(error: unknown) {
  expect(error).toMatchObject({ code: expect.stringMatching(/^file\.(quota_exceeded|busy)$/) });
}

function actAsWriter(stage: Stage, taken: Extract<Step, { which: number }>) {
  const { disk, writers } = stage;
  const writer = writers[taken.which % Math.max(1, writers.length)];
  if (writer === undefined) return;
  if (writer.look !== disk.looks) [writer.look, writer.newBytes] = [disk.looks, 0];
  if (taken.kind === 'grow') {
    const grown = () => {
      writer.leftBytes += taken.bytes;
    };
    writer.claim.grow(taken.bytes).then(grown, refused);
  } else if (taken.kind === 'write') {
    const bytes = Math.ceil(writer.leftBytes / taken.parts);
    disk.add('oursBytes', bytes);
    writer.claim.wrote(bytes);
    writer.leftBytes -= bytes;
    writer.writtenBytes += bytes;
    writer.newBytes += bytes;
  } else {
    writers.splice(writers.indexOf(writer), 1);
    if (taken.isKept) stage.keptBytes += writer.writtenBytes;
    else disk.remove('oursBytes', writer.writtenBytes, writer.newBytes);
    writer.claim.end(taken.isKept);
  }
}

function act(stage: Stage, taken: Step) {
  const { disk, account, quota, writers } = stage;
  if ('which' in taken) return actAsWriter(stage, taken);
  if (taken.kind === 'measurement begins') void quota.measure(UUID, server.directory);
  else if (taken.kind === 'measurement ends') disk.endLook(taken.isLow);
  else if (taken.kind === 'claim') {
    const { bytes } = taken;
    const begin = (claim: Claim) =>
      writers.push({ claim, leftBytes: bytes, writtenBytes: 0, newBytes: 0, look: disk.looks });
    account.claim(bytes).then(begin, refused);
  } else if (taken.kind === 'remove') {
    const bytes = Math.min(taken.bytes, stage.keptBytes);
    stage.keptBytes -= bytes;
    disk.remove('oursBytes', bytes);
    account.credit(bytes);
  } else if (taken.kind === 'game writes') disk.add('gamesBytes', taken.bytes);
  else {
    const bytes = Math.min(taken.bytes, disk.gamesBytes);
    disk.remove('gamesBytes', bytes);
    if (taken.kind === 'we remove the game’s') account.credit(bytes);
  }
}

test('writers, the game and measurements in any order: over the limit only by what the game wrote', async () => {
  let writtenBytes = 0;
  const property = fc.asyncProperty(fc.array(step, { maxLength: 80, size: 'max' }), async (steps) => {
    const stage: Stage = { ...makeDisk(), writers: [], keptBytes: 0 };
    const { disk, quota } = stage;
    for (const taken of steps) {
      act(stage, taken);
      await new Promise<void>((resolve) => setImmediate(resolve));
      expect(disk.oursBytes + disk.gamesBytes).toBeLessThanOrEqual(LIMIT + disk.gameWroteBytes);
      const last = quota.lastUsage(UUID);
      expect(last === null || (Number.isSafeInteger(last.bytes) && last.bytes >= 0)).toBe(true);
      writtenBytes = Math.max(writtenBytes, disk.oursBytes);
    }
    // Nobody waits any more when the next one begins.
    for (let looks = -1; looks < disk.looks; ) {
      looks = disk.looks;
      disk.endLook(false);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  });
  await fc.assert(property, { numRuns: 1000 });
  // It was tried in earnest.
  expect(writtenBytes).toBeGreaterThan(LIMIT / 2);
});

test('numbers that are none are refused, and nothing is counted for them', async () => {
  for (const limitBytes of [LIMIT, null]) {
    const quota = createQuota(log, async () => 0);
    const account = quota.account(UUID, { ...server, limitBytes });
    const claim = await account.claim(10);
    for (const bytes of [Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 2 ** 53, Number.MAX_VALUE]) {
      await expect(account.claim(bytes), String(bytes)).rejects.toMatchObject({
        code: 'file.quota_exceeded',
      });
      await expect(claim.grow(bytes), String(bytes)).rejects.toMatchObject({ code: 'file.quota_exceeded' });
      expect(() => claim.wrote(bytes), String(bytes)).toThrow(RangeError);
      expect(() => account.credit(bytes), String(bytes)).toThrow(RangeError);
    }
    expect(await account.usedBytes()).toBe(10);
    claim.end(false);
    claim.end(false);
    expect(await account.usedBytes()).toBe(0);
  }
});

test('promises without a limit never add up to more than can be counted', async () => {
  const account = createQuota(log, async () => 0).account(UUID, { ...server, limitBytes: null });
  const first = await account.claim(Number.MAX_SAFE_INTEGER);
  await expect(account.claim(1)).rejects.toMatchObject({ code: 'file.quota_exceeded' });
  first.end(true);
  expect(await account.usedBytes()).toBe(0);
});

test('figures that are none are not believed', async () => {
  let figure: number | Error = 100;
  const quota = createQuota(log, async () => {
    if (figure instanceof Error) throw figure;
    return figure;
  });
  expect(await quota.measure(UUID, '/')).toBe(100);
  for (const wrong of [Number.NaN, -5, Number.POSITIVE_INFINITY, new Error('du told no size')]) {
    figure = wrong;
    expect(await quota.measure(UUID, '/')).toBeNull();
    expect(quota.lastUsage(UUID)?.bytes).toBe(100);
  }
});

test('a removed file makes room at once, also when a measurement under way has seen it before', async () => {
  const { disk, quota, account } = makeDisk();
  const first = account.claim(900);
  await expect.poll(() => disk.looks).toBe(1);
  disk.endLook(true);
  const claim = await first;
  disk.add('oursBytes', 900);
  claim.wrote(900);
  claim.end(true);
  const measurement = quota.measure(UUID, server.directory);
  await expect.poll(() => disk.looks).toBe(2);
  disk.remove('oursBytes', 900);
  account.credit(900);
  disk.endLook(false);
  expect(await measurement).toBe(900);
  const second = account.claim(LIMIT);
  await expect.poll(() => disk.looks).toBe(3);
  disk.endLook(false);
  (await second).end(true);
});
