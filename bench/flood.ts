import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './harness/bench.js';
import { GAME_SCRIPT, writeCommand } from './harness/game.js';
import { type Histogram, percentile } from './harness/histogram.js';
import { residentMb, watchMemory } from './harness/memory.js';
import { type Panel, startPanel } from './harness/panel.js';
import { startProber } from './harness/prober.js';
import { waitUntil } from './harness/process.js';
import { runServer, startRealAgent } from './harness/real-agent.js';
import { count, type Finding, megabytes, milliseconds } from './harness/report.js';
import { type RoleProcess, startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import type { LoadResult, SimulatedAgentRole } from './harness/simulated-agent.js';
import type { Progress, SwarmRole } from './harness/swarm.js';

const LINES_PER_SECOND = 20_000;
const SECONDS = 10;
/** More than any database takes: here the panel has to hold back the agent. */
const TORRENT_LINES_PER_SECOND = 200_000;
const TORRENT_SECONDS = 5;
const LINE_BYTES = 100;
/** How long the paused subscriber has to learn the end after it reads again. */
const CATCH_UP_TIMEOUT_MS = 15_000;
const STORE_TIMEOUT_MS = 60_000;

const MEMORY_TARGET_MB = 100;
const HEALTH_TARGET_MS = 100;
const LAG_TARGET_MS = 500;

interface Watchers {
  healthy: RoleProcess<SwarmRole>;
  paused: RoleProcess<SwarmRole>;
}

interface Observed {
  grownMb: number;
  health: Histogram;
  lag: Histogram;
  healthy: Progress;
  paused: Progress;
  /** Lines of the game that the healthy one saw; `lag.count` for short. */
  sentLines: number;
}

/**
 * One server writes far more than anybody reads, one subscriber reads, one has stopped reading. First through an
 * agent that holds nothing back, then through the real one, which lets 10,000 lines a second through.
 */
export async function flood(bench: Bench): Promise<Finding[]> {
  return [
    ...(await floodThrough(bench, 'agent without a throttle', writeSimulated)),
    ...(await floodThrough(bench, 'real agent, real process', writeReal)),
  ];
}

type Write = (bench: Bench, panel: Panel) => Promise<{ serverId: string; start(): Promise<void> }>;

async function floodThrough(bench: Bench, name: string, prepare: Write): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const { serverId, start } = await prepare(bench, panel);
  const watchers = await openWatchers(bench, panel, serverId);
  const observed = await observe(panel, serverId, watchers, start);
  return judge(name, observed);
}

async function writeSimulated(bench: Bench, panel: Panel) {
  const { node, server } = await createConsoleServer(panel.api);
  const agent = startRole<SimulatedAgentRole>('simulated-agent');
  bench.defer(() => agent.stop());
  const address = { nodeId: node.id, token: node.secret, serverId: server.id, serverUuid: server.uuid };
  await agent.call('connect', { ...address, url: panel.socketUrl });
  return {
    serverId: server.id,
    async start() {
      const limits = { batchLines: null, undeliveredMaxLines: null };
      const durationMs = SECONDS * 1000;
      const load = { ...limits, durationMs, lineBytes: LINE_BYTES, linesPerSecond: LINES_PER_SECOND };
      bench.note(describeAgent(await agent.call('write', load)));
    },
  };
}

function describeAgent({ blockedMs, unacknowledgedMaxBytes, droppedLines }: LoadResult): string {
  return (
    `the agent had at most ${count(unacknowledgedMaxBytes / 1024)} KiB unacknowledged, ` +
    `waited ${milliseconds(blockedMs)} for the panel and gave up ${count(droppedLines)} lines`
  );
}

async function writeReal(bench: Bench, panel: Panel) {
  const { node, server } = await createConsoleServer(panel.api, GAME_SCRIPT);
  const agent = await startRealAgent(panel, node, bench.directory);
  bench.defer(() => agent.stop());
  await runServer(panel, server.id);
  bench.defer(() => panel.api.send('POST', `/api/servers/${server.id}/kill`));
  return {
    serverId: server.id,
    async start() {
      const agentMemory = watchMemory(agent.pid);
      const command = writeCommand(LINES_PER_SECOND, SECONDS, LINE_BYTES);
      await panel.api.send('POST', `/api/servers/${server.id}/command`, { command });
      await waitUntil('the game has written all', SECONDS * 3000, () => hasLine(panel, server.id, 'done'));
      bench.note(`the agent used at most ${megabytes(agentMemory.stop())}`);
    },
  };
}

async function hasLine(panel: Panel, serverId: string, line: string): Promise<boolean> {
  await delay(100);
  const { data } = await panel.api.send<{ data: { data: string }[] }>(
    'GET',
    `/api/servers/${serverId}/logs?limit=20`,
  );
  return data.some((entry) => entry.data.trim() === line);
}

async function openWatchers(bench: Bench, panel: Panel, serverId: string): Promise<Watchers> {
  const healthy = startRole<SwarmRole>('swarm');
  const paused = startRole<SwarmRole>('swarm');
  bench.defer(() => Promise.all([healthy.stop(), paused.stop()]));
  const url = `${panel.socketUrl}?token=${panel.api.token()}`;
  const options = { url, serverId, subscribers: 1, mode: 'latency' as const };
  await Promise.all([healthy.call('connect', options), paused.call('connect', options)]);
  return { healthy, paused };
}

async function observe(
  panel: Panel,
  serverId: string,
  { healthy, paused }: Watchers,
  start: () => Promise<void>,
): Promise<Observed> {
  const before = residentMb(panel.pid);
  const firstSeq = (await healthy.call('progress')).slowestSeq + 1;
  const memory = watchMemory(panel.pid);
  const prober = startProber(`${panel.url}/health`);
  await paused.call('pause');
  await start();
  const grownMb = memory.stop() - before;
  const health = await prober.stop();
  await paused.call('resume');
  const lastSeq = await storedSeq(panel, serverId);
  await reach(healthy, lastSeq);
  await reach(paused, lastSeq);
  return {
    grownMb,
    health,
    lag: await healthy.call('takeLatencies'),
    healthy: await healthy.call('progress'),
    paused: await paused.call('progress'),
    sentLines: lastSeq - firstSeq + 1,
  };
}

/** The last number that the database has, once it no longer moves. */
async function storedSeq(panel: Panel, serverId: string): Promise<number> {
  let last = -1;
  await waitUntil('everything is stored', STORE_TIMEOUT_MS, async () => {
    const { rows } = await panel.database.pool.query<{ lastSeq: string }>(
      'SELECT "lastSeq" FROM "ServerConsole" WHERE "serverId" = $1',
      [serverId],
    );
    const now = Number(rows[0]?.lastSeq ?? 0);
    const isStill = now === last;
    last = now;
    await delay(500);
    return isStill;
  });
  return last;
}

/** Gives a subscriber time to be told of everything; whether it was, its counts say. */
async function reach(watcher: RoleProcess<SwarmRole>, lastSeq: number): Promise<void> {
  const isThere = async () => (await watcher.call('progress')).slowestSeq >= lastSeq;
  await waitUntil('a subscriber knows of every line', CATCH_UP_TIMEOUT_MS, isThere).catch(() => {});
}

function judge(name: string, { grownMb, health, lag, healthy, paused, sentLines }: Observed): Finding[] {
  const flooded = `${count(LINES_PER_SECOND)} lines/s for ${SECONDS} s, ${name}`;
  return [
    {
      measure: `${flooded}: growth of the panel's memory`,
      target: `< ${MEMORY_TARGET_MB} MB`,
      measured: megabytes(grownMb),
      isMet: grownMb < MEMORY_TARGET_MB,
    },
    {
      measure: `${flooded}: slowest of ${health.count} answers of /health`,
      target: `< ${HEALTH_TARGET_MS} ms`,
      measured: `${milliseconds(health.maxMs)} (p99 ${milliseconds(percentile(health, 0.99))})`,
      isMet: health.maxMs < HEALTH_TARGET_MS,
    },
    {
      measure: `${flooded}: the reading subscriber is behind by at most`,
      target: `≤ ${LAG_TARGET_MS} ms`,
      measured: `${milliseconds(lag.maxMs)} (p99 ${milliseconds(percentile(lag, 0.99))})`,
      isMet: lag.count > 0 && lag.maxMs <= LAG_TARGET_MS,
    },
    accounting(`${flooded}: lines the reading subscriber got or was told of`, healthy, sentLines),
    accounting(`${flooded}: lines the paused subscriber got or was told of`, paused, sentLines),
  ];
}

function accounting(measure: string, progress: Progress, sentLines: number): Finding {
  const { delivered, announced, missed, repeated } = progress;
  const unknown = sentLines - delivered - announced;
  return {
    measure,
    target: 'all, none twice',
    measured:
      `${count(delivered)} + ${count(announced)} announced = ${count(sentLines)}` +
      (unknown === 0 ? '' : ` − ${count(unknown)} LOST IN SILENCE`) +
      (repeated === 0 ? '' : `, ${count(repeated)} TWICE`),
    isMet: unknown === 0 && missed === 0 && repeated === 0,
  };
}
