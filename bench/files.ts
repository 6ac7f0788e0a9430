import { execFile, execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
import path from 'node:path';
import { promisify } from 'node:util';
import type { BareFilesRole } from './harness/bare-files.js';
import type { Bench } from './harness/bench.js';
import { type FileStage, startFileStage } from './harness/file-stage.js';
import { median } from './harness/histogram.js';
import { residentMb, watchMemory } from './harness/memory.js';
import { count, type Finding, megabytes } from './harness/report.js';
import { startRole } from './harness/role.js';

const FILE_MB = 1024;
const BYTES_PER_MB = 1024 * 1024;
const ROUNDS = 3;
const RATIO_TARGET = 0.6;
const MEMORY_TARGET_MB = 40;
const TRANSFER_TIMEOUT_MS = 120_000;
const GAME: [string, ...string[]] = ['/bin/sh', '-c', 'cat'];

const run = promisify(execFile);

/** What curl is told to send or fetch. */
type Words = string[];

/** Large files over REST, through panel and agent, against Fastify on the same disk. */
export async function files(bench: Bench): Promise<Finding[]> {
  const stage = await startFileStage(bench, GAME);
  const local = path.join(bench.directory, 'bare-files');
  mkdirSync(local);
  const file = path.join(local, 'large');
  writeRandom(file);
  const bare = startRole<BareFilesRole>('bare-files');
  bench.defer(() => bare.stop());
  const bareUrl = await bare.call('listen', { directory: local });
  const url = `${stage.panel.url}${stage.filesPath}`;
  const token = ['-H', `Authorization: Bearer ${stage.panel.api.token()}`];
  const upload = {
    bare: ['-T', file, `${bareUrl}/files/uploaded`],
    ours: [...token, '-F', `file=@${file};filename=large`, `${url}/upload?path=/`],
  };
  const download = {
    bare: [`${bareUrl}/files/large`],
    ours: [...token, `${url}/download?path=/large`],
  };
  const idleMb = residentMb(stage.panel.pid);
  return [
    ...(await compare(bench, stage, { name: 'upload', words: upload, idleMb })),
    ...(await compare(bench, stage, { name: 'download', words: download, idleMb })),
  ];
}

async function compare(
  bench: Bench,
  { panel }: FileStage,
  task: { name: string; words: { bare: Words; ours: Words }; idleMb: number },
): Promise<Finding[]> {
  const rates: { bare: number[]; ours: number[] } = { bare: [], ours: [] };
  await transfer(task.words.ours);
  const memory = watchMemory(panel.pid);
  for (let round = 1; round <= ROUNDS; round += 1) {
    rates.bare.push(await transfer(task.words.bare));
    rates.ours.push(await transfer(task.words.ours));
  }
  const overIdleMb = memory.stop() - task.idleMb;
  const [ours, bare] = [median(rates.ours), median(rates.bare)];
  bench.note(
    `${task.name}: ${rates.ours.map(count).join(', ')} MB/s; bare ${rates.bare.map(count).join(', ')}`,
  );
  return [
    {
      measure: `REST ${task.name} of ${FILE_MB} MB`,
      target: `≥ ${RATIO_TARGET} of a bare Fastify stream from or to the local disk`,
      measured: `${count(ours)} MB/s`,
      baseline: `${count(bare)} MB/s`,
      ratio: ours / bare,
      isMet: ours / bare >= RATIO_TARGET,
    },
    {
      measure: `memory of the panel over idle during each ${task.name} of ${FILE_MB} MB`,
      target: `≤ ${MEMORY_TARGET_MB} MB`,
      measured: megabytes(overIdleMb),
      isMet: overIdleMb <= MEMORY_TARGET_MB,
    },
  ];
}

/** In megabytes per second. */
async function transfer(words: Words): Promise<number> {
  // What the one before has left to be written is not this one's.
  execFileSync('sync');
  const startedAt = performance.now();
  await run('curl', ['-sS', '--fail', '-H', 'Expect:', '-o', '/dev/null', ...words], {
    timeout: TRANSFER_TIMEOUT_MS,
  });
  return FILE_MB / ((performance.now() - startedAt) / 1000);
}

function writeRandom(file: string): void {
  const piece = randomBytes(BYTES_PER_MB);
  const opened = openSync(file, 'w');
  for (let index = 0; index < FILE_MB; index += 1) writeSync(opened, piece);
  closeSync(opened);
}
