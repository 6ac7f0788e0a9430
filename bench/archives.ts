import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { pino } from 'pino';
import type { FileService } from '../agent/files/contract.js';
import { createFileService } from '../agent/files/service.js';
import type { ArchiveFormat } from '../src/protocol/file-works.js';
import type { Bench } from './harness/bench.js';
import type { Finding } from './harness/report.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const DIRECTORIES = 40;
const FILES_PER_DIRECTORY = 50;
const LARGE_FILES = 3;
const SMALL_BYTES = 75 * 1024;
const LARGE_BYTES = 35 * 1024 * 1024;
const ROUNDS = 5;
const RATIO_MIN = 0.9;
const MEGABYTE = 1_000_000;
const TREE = 'tree';
const PACKED = { paths: [TREE], to: 'ours.archive', replace: false };
const UNPACKED = { path: 'ours.archive', to: 'ours' };
/** As the agent packs: what else this machine has to do meanwhile shall not decide. */
const LAST = ['-n', '19'];
const run = promisify(execFile);

/** Of what the system counts processor time in. */
const TICKS_PER_SECOND = 100;
/** Whose the files of games are. */
const OWNER = process.getuid?.() === 0 ? { uid: 28_000, gid: 28_000 } : null;

/** The same done by the programs of the system, with the same compressor at the same level. */
interface Baseline {
  format: ArchiveFormat;
  pack(directory: string, archive: string): Promise<unknown>;
  unpack(archive: string, directory: string): Promise<unknown>;
}

const tar = (format: ArchiveFormat, compressor: string): Baseline => ({
  format,
  async pack(directory, archive) {
    await run('nice', [...LAST, 'tar', '-I', compressor, '-cf', archive, '-C', directory, TREE]);
    // As the agent's is when it says that it is done.
    await run('sync', [archive]);
  },
  unpack: (archive, directory) => run('tar', ['-I', compressor, '-xf', archive, '-C', directory]),
});

/** What making and unpacking an archive costs in the agent, compared with the system's `tar`. */
export async function archives(bench: Bench): Promise<Finding[]> {
  const directory = mkdtempSync(path.join(bench.directory, 'archives-'));
  bench.defer(() => rmSync(directory, { recursive: true, force: true }));
  const server = path.join(directory, 'server');
  const { files, bytes } = makeTree(path.join(server, TREE));
  bench.note(`${files} files, ${Math.round(bytes / MEGABYTE)} MB, half of it random`);
  const service = createFileService({
    find: () => ({ directory: server, limitBytes: null }),
    owner: OWNER,
    stateDirectory: path.join(directory, 'state'),
    announce() {},
    log: pino({ level: 'silent' }),
  });
  bench.defer(() => service.close());
  const gzip = (await hasProgram('pigz')) ? 'pigz' : 'gzip';
  const baselines = [tar('tar.gz', gzip)];
  if (await hasProgram('zstd')) baselines.push(tar('tar.zst', 'zstd -T0'));
  const findings: Finding[] = [];
  for (const baseline of baselines)
    findings.push(...(await compare(baseline, { bench, service, server, bytes })));
  return findings;
}

interface Comparison {
  bench: Bench;
  service: FileService;
  server: string;
  bytes: number;
}

async function compare(baseline: Baseline, comparison: Comparison): Promise<Finding[]> {
  const { bench, service, server, bytes } = comparison;
  const { format } = baseline;
  const at = (name: string) => path.join(server, name);
  const call = { signal: new AbortController().signal, connection: {}, report() {} };
  const lag = createLagMeter();
  const taken: Record<'packed' | 'unpacked' | 'packedBySystem' | 'unpackedBySystem', Taken[]> = {
    packed: [],
    unpacked: [],
    packedBySystem: [],
    unpackedBySystem: [],
  };
  const remove = (name: string) => rmSync(at(name), { recursive: true });
  const works = [
    async () => {
      mkdirSync(at('theirs'));
      taken.unpackedBySystem.push(await timed(() => baseline.unpack(at('theirs.archive'), at('theirs'))));
      remove('theirs');
    },
    async () => {
      taken.unpacked.push(await timed(() => lag.during(service.work(UUID, 'extract', UNPACKED, call))));
      remove('ours');
    },
  ];
  for (let round = 0; round < ROUNDS; round += 1) {
    taken.packedBySystem.push(await timed(() => baseline.pack(server, at('theirs.archive'))));
    taken.packed.push(
      await timed(() => lag.during(service.work(UUID, 'compress', { ...PACKED, format }, call))),
    );
    // By turns, and with as much removed before: what memory the system has at hand decides, too.
    for (const work of round % 2 === 0 ? works : works.toReversed()) await work();
    for (const name of ['theirs.archive', 'ours.archive']) remove(name);
  }
  bench.note(`${format}: the agent's event loop was never late by more than ${Math.round(lag.maxMs())} ms`);
  for (const [what, ours, theirs] of [
    ['compress', taken.packed, taken.packedBySystem],
    ['decompress', taken.unpacked, taken.unpackedBySystem],
  ] as const) {
    const [mine, system] = [ours, theirs].map((all) => median(all.map(({ processor }) => processor)));
    bench.note(
      `${format}: ${what} took ${mine?.toFixed(2)} s of processor time, tar ${system?.toFixed(2)} s`,
    );
  }
  return [
    toFinding(`${format}: compress`, bytes, taken.packed, taken.packedBySystem),
    toFinding(`${format}: decompress`, bytes, taken.unpacked, taken.unpackedBySystem),
  ];
}

/** In seconds. */
interface Taken {
  clock: number;
  processor: number;
}

function toFinding(measure: string, bytes: number, ours: Taken[], theirs: Taken[]): Finding {
  const clock = (taken: Taken[]) => median(taken.map((one) => one.clock));
  const ratio = clock(theirs) / clock(ours);
  const speed = (taken: Taken[]) => `${Math.round(bytes / MEGABYTE / clock(taken))} MB/s`;
  return {
    measure: `${measure} through the file service`,
    target: `≥ ${RATIO_MIN} of system tar`,
    measured: speed(ours),
    baseline: speed(theirs),
    ratio,
    isMet: ratio >= RATIO_MIN,
  };
}

/** How late this process, which is the agent here, came to do anything. */
function createLagMeter() {
  let maxMs = 0;
  return {
    maxMs: () => maxMs,
    async during(work: Promise<unknown>) {
      const lag = monitorEventLoopDelay({ resolution: 5 });
      lag.enable();
      await work;
      lag.disable();
      maxMs = Math.max(maxMs, lag.max / 1e6);
    },
  };
}

async function timed(act: () => Promise<unknown>): Promise<Taken> {
  // What others have left to be written is not this one's to pay.
  await run('sync', []);
  const [startedAtMs, processorBefore] = [performance.now(), processorSeconds()];
  await act();
  const clock = (performance.now() - startedAtMs) / 1000;
  return { clock, processor: processorSeconds() - processorBefore };
}

/** Of this process and of those that it has started and that have ended. */
function processorSeconds(): number {
  const [, fields = ''] = /\) (.*)/s.exec(readFileSync('/proc/self/stat', 'utf8')) ?? [];
  const ticks = fields.split(' ').slice(11, 15).map(Number);
  return ticks.reduce((sum, some) => sum + some, 0) / TICKS_PER_SECOND;
}

function median(values: number[]): number {
  return values.toSorted((one, other) => one - other)[Math.floor(values.length / 2)] ?? Number.NaN;
}

async function hasProgram(name: string): Promise<boolean> {
  return await run(name, ['--version']).then(
    () => true,
    () => false,
  );
}

/** Small files and a few large ones; every second one cannot be compressed. */
function makeTree(root: string): { files: number; bytes: number } {
  const line = 'The quick brown fox jumps over the lazy dog, and nobody knows why it does so. ';
  let [files, bytes] = [0, 0];
  function add(directory: string, name: string, sizeBytes: number) {
    const isRandom = files % 2 === 0;
    const text = () => Buffer.alloc(sizeBytes, `${line}${randomBytes(300).toString('hex')}\n`);
    const file = path.join(directory, name);
    writeFileSync(file, isRandom ? randomBytes(sizeBytes) : text());
    if (OWNER !== null) chownSync(file, OWNER.uid, OWNER.gid);
    files += 1;
    bytes += sizeBytes;
  }
  for (let index = 0; index < DIRECTORIES; index += 1) {
    const directory = path.join(root, `region-${index}`, 'chunks');
    mkdirSync(directory, { recursive: true });
    for (let file = 0; file < FILES_PER_DIRECTORY; file += 1) add(directory, `r.${file}.mca`, SMALL_BYTES);
  }
  for (let file = 0; file < LARGE_FILES; file += 1) add(root, `world-${file}.db`, LARGE_BYTES);
  return { files, bytes };
}
