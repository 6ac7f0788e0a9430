import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './harness/bench.js';
import { type FileStage, startFileStage } from './harness/file-stage.js';
import { createHistogram, type Histogram, percentile, record } from './harness/histogram.js';
import { killServer, waitForStatus } from './harness/real-agent.js';
import { type Finding, milliseconds } from './harness/report.js';

const DOWNLOADS = 4;
const FILE_MB = 256;
const BYTES_PER_MB = 1024 * 1024;
const CYCLES = 60;
const TARGET_MS = 50;
const PAUSE_MS = 20;
const GAME: [string, ...string[]] = ['/bin/sh', '-c', 'cat'];

/** Whether power commands still get through while the same panel and agent carry as many bytes as they can. */
export async function filesControl(bench: Bench): Promise<Finding[]> {
  const stage = await startFileStage(bench, GAME);
  await prepare(bench, stage);
  bench.defer(() => killServer(stage.panel, stage.server.id));
  const quiet = await commandTimes(stage);
  const downloads = startDownloads(stage);
  bench.defer(async () => void (await downloads.stop()));
  await delay(1000);
  const busy = await commandTimes(stage);
  const fetched = await downloads.stop();
  const p99Ms = percentile(busy, 0.99);
  bench.note(`${Math.round(fetched)} MB/s meanwhile; slowest command ${milliseconds(busy.maxMs)}`);
  return [
    {
      measure: `p99 of ${busy.count} power commands, from request to answer, while ${DOWNLOADS} downloads run`,
      target: `< ${TARGET_MS} ms`,
      measured: milliseconds(p99Ms),
      baseline: `${milliseconds(percentile(quiet, 0.99))} without downloads`,
      isMet: p99Ms < TARGET_MS,
    },
  ];
}

async function prepare(bench: Bench, { panel, filesPath, server }: FileStage): Promise<void> {
  const file = path.join(bench.directory, 'downloaded');
  writeFileSync(file, '');
  truncateSync(file, FILE_MB * BYTES_PER_MB);
  const authorization = `Authorization: Bearer ${panel.api.token()}`;
  const form = ['-F', `file=@${file};filename=large`, `${panel.url}${filesPath}/upload?path=/`];
  execFileSync('curl', ['-sS', '--fail', '-o', '/dev/null', '-H', authorization, ...form]);
  await panel.api.send('POST', `/api/servers/${server.id}/start`);
  await waitForStatus(panel, server.id, 'running');
}

async function commandTimes({ panel, server }: FileStage): Promise<Histogram> {
  const times = createHistogram();
  for (let cycle = 0; cycle < CYCLES; cycle += 1) {
    for (const [command, status] of [
      ['kill', 'stopped'],
      ['start', 'running'],
    ] as const) {
      const startedAt = performance.now();
      await panel.api.send('POST', `/api/servers/${server.id}/${command}`);
      record(times, performance.now() - startedAt);
      await waitForStatus(panel, server.id, status);
      await delay(PAUSE_MS);
    }
  }
  return times;
}

/** Downloads that begin again as soon as they have ended. */
function startDownloads({ panel, filesPath }: FileStage): { stop(): Promise<number> } {
  const startedAt = performance.now();
  const children = new Set<ChildProcess>();
  let isOver = false;
  let finished = 0;
  async function download(): Promise<void> {
    while (!isOver) {
      const child = spawn('curl', [
        ...['-sS', '--fail', '-o', '/dev/null'],
        ...['-H', `Authorization: Bearer ${panel.api.token()}`],
        `${panel.url}${filesPath}/download?path=/large`,
      ]);
      children.add(child);
      const [code] = await once(child, 'exit');
      children.delete(child);
      if (code === 0) finished += 1;
    }
  }
  const running = Array.from({ length: DOWNLOADS }, download);
  return {
    async stop() {
      isOver = true;
      for (const child of children) child.kill();
      await Promise.all(running);
      return (finished * FILE_MB) / ((performance.now() - startedAt) / 1000);
    },
  };
}
