import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { pino } from 'pino';
import { createFileService, type FileService } from '../agent/files/service.js';
import type { ArchiveFormat } from '../src/protocol/file-works.js';
import type { Bench } from './harness/bench.js';
import type { Finding } from './harness/report.js';

const UUID = '11111111-1111-4111-8111-111111111111';
const DIRECTORIES = 40;
const FILES_PER_DIRECTORY = 50;
const LARGE_FILES = 3;
const SMALL_BYTES = 75 * 1024;
const LARGE_BYTES = 35 * 1024 * 1024;
const ROUNDS = 3;
const RATIO_MIN = 0.9;
const MEGABYTE = 1_000_000;
const TREE = 'tree';
const PACKED = { paths: [TREE], to: 'ours.archive', replace: false };
const UNPACKED = { path: 'ours.archive', to: 'ours' };
const run = promisify(execFile);

/** The same done by the programs of the system, with the same compressor at the same level. */
interface Baseline {
  format: ArchiveFormat;
  pack(directory: string, archive: string): Promise<unknown>;
  unpack(archive: string, directory: string): Promise<unknown>;
}

const tar = (format: ArchiveFormat, compressor: string): Baseline => ({
  format,
  async pack(directory, archive) {
    await run('tar', ['-I', compressor, '-cf', archive, '-C', directory, TREE]);
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
    owner: process.getuid?.() === 0 ? { uid: 28_000, gid: 28_000 } : null,
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
  const seconds: Record<'packed' | 'unpacked' | 'packedBySystem' | 'unpackedBySystem', number[]> = {
    packed: [],
    unpacked: [],
    packedBySystem: [],
    unpackedBySystem: [],
  };
  for (let round = 0; round < ROUNDS; round += 1) {
    mkdirSync(at('theirs'));
    seconds.packedBySystem.push(await timed(() => baseline.pack(server, at('theirs.archive'))));
    seconds.packed.push(
      await timed(() => lag.during(service.work(UUID, 'compress', { ...PACKED, format }, call))),
    );
    seconds.unpackedBySystem.push(await timed(() => baseline.unpack(at('theirs.archive'), at('theirs'))));
    seconds.unpacked.push(await timed(() => lag.during(service.work(UUID, 'extract', UNPACKED, call))));
    for (const name of ['theirs', 'theirs.archive', 'ours', 'ours.archive']) {
      rmSync(at(name), { recursive: true });
    }
  }
  bench.note(`${format}: the agent's event loop was never late by more than ${Math.round(lag.maxMs())} ms`);
  return [
    toFinding(`${format}: compress`, bytes, seconds.packed, seconds.packedBySystem),
    toFinding(`${format}: decompress`, bytes, seconds.unpacked, seconds.unpackedBySystem),
  ];
}

function toFinding(measure: string, bytes: number, ours: number[], theirs: number[]): Finding {
  const ratio = median(theirs) / median(ours);
  const speed = (taken: number[]) => `${Math.round(bytes / MEGABYTE / median(taken))} MB/s`;
  return {
    measure: `${measure} through the file service`,
    target: `≥ ${RATIO_MIN} of system tar`,
    ...{ measured: speed(ours), baseline: speed(theirs), ratio, isMet: ratio >= RATIO_MIN },
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

async function timed(act: () => Promise<unknown>): Promise<number> {
  // What others have left to be written is not this one's to pay.
  await run('sync', []);
  const startedAtMs = performance.now();
  await act();
  return (performance.now() - startedAtMs) / 1000;
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
    writeFileSync(path.join(directory, name), isRandom ? randomBytes(sizeBytes) : text());
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
