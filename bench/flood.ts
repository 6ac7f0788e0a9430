import { CONSOLE_BATCH_MAX_BYTES, CONSOLE_WINDOW_BYTES } from '../src/protocol/limits.js';
import type { Bench } from './harness/bench.js';
import { type Observed, observeFlood } from './harness/flood-observer.js';
import { GAME_SCRIPT, writeCommand } from './harness/game.js';
import { percentile } from './harness/histogram.js';
import { watchMemory } from './harness/memory.js';
import { type Panel, startPanel } from './harness/panel.js';
import { waitUntil } from './harness/process.js';
import { killServer, runServer, startRealAgent } from './harness/real-agent.js';
import { count, type Finding, megabytes, milliseconds } from './harness/report.js';
import { startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import type { LoadResult, SimulatedAgentRole } from './harness/simulated-agent.js';
import { lastStoredSeq } from './harness/stored-lines.js';
import type { Progress } from './harness/swarm.js';

const LINE_BYTES = 100;
/** An agent may be in the middle of a batch when the window closes. */
const UNACKNOWLEDGED_TARGET_BYTES = CONSOLE_WINDOW_BYTES + CONSOLE_BATCH_MAX_BYTES;
const FLOOD_TIMEOUT_MS = 60_000;
const MEMORY_TARGET_MB = 100;
const HEALTH_TARGET_MS = 100;
const LAG_TARGET_MS = 500;

interface Rate {
  linesPerSecond: number;
  seconds: number;
}

const FLOOD: Rate = { linesPerSecond: 20_000, seconds: 10 };
/** More than a database takes: here the panel has to hold the agent back. */
const TORRENT: Rate = { linesPerSecond: 200_000, seconds: 5 };

/** Something that floods the console of one server. */
interface Source {
  serverId: string;
  /** Settles when all is written, and answers what only this source can tell. */
  flood(): Promise<Finding[]>;
}

/**
 * One server writes far more than anybody reads, one subscriber reads, one has stopped reading: through an agent that
 * holds nothing back, through the real one, which lets 10,000 lines a second through, and once more than can be stored.
 */
export async function flood(bench: Bench): Promise<Finding[]> {
  const simulated = await observeSource(bench, (panel) => simulatedSource(bench, panel, FLOOD));
  const real = await observeSource(bench, (panel) => realSource(bench, panel, FLOOD));
  const torrent = await observeSource(bench, (panel) => simulatedSource(bench, panel, TORRENT));
  const simulatedName = describe(FLOOD, 'an agent without a throttle');
  const realName = describe(FLOOD, 'the real agent and a real process');
  const torrentName = describe(TORRENT, 'an agent without a throttle');
  return [
    ...judgePanel(simulatedName, simulated.observed),
    judgeLag(simulatedName, simulated.observed),
    ...judgePanel(realName, real.observed),
    judgeLag(realName, real.observed),
    ...judgePanel(torrentName, torrent.observed),
    ...torrent.findings,
  ];
}

function describe({ linesPerSecond, seconds }: Rate, through: string): string {
  return `${count(linesPerSecond)} lines/s for ${seconds} s through ${through}`;
}

async function observeSource(bench: Bench, open: (panel: Panel) => Promise<Source>) {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const source = await open(panel);
  let findings: Finding[] = [];
  const observed = await observeFlood({
    bench,
    panel,
    serverId: source.serverId,
    async flood() {
      findings = await source.flood();
    },
  });
  return { observed, findings };
}

async function simulatedSource(bench: Bench, panel: Panel, rate: Rate): Promise<Source> {
  const { node, server } = await createConsoleServer(panel.api);
  const agent = startRole<SimulatedAgentRole>('simulated-agent');
  bench.defer(() => agent.stop());
  const address = { nodeId: node.id, token: node.secret, serverId: server.id, serverUuid: server.uuid };
  await agent.call('connect', { ...address, url: panel.socketUrl });
  return {
    serverId: server.id,
    async flood() {
      const { linesPerSecond, seconds } = rate;
      const limits = { batchLines: null, undeliveredMaxLines: null };
      const load = { ...limits, durationMs: seconds * 1000, lineBytes: LINE_BYTES, linesPerSecond };
      return [judgeBackPressure(rate, await agent.call('write', load))];
    },
  };
}

async function realSource(bench: Bench, panel: Panel, { linesPerSecond, seconds }: Rate): Promise<Source> {
  const { node, server } = await createConsoleServer(panel.api, GAME_SCRIPT);
  const agent = await startRealAgent(panel, node, bench.directory);
  bench.defer(() => agent.stop());
  await runServer(panel, server.id);
  bench.defer(() => killServer(panel, server.id));
  return {
    serverId: server.id,
    async flood() {
      const { pool } = panel.database;
      const lastSeq = (await lastStoredSeq(pool, server.id)) + linesPerSecond * seconds;
      const agentMemory = watchMemory(agent.pid);
      const command = writeCommand(linesPerSecond, seconds, LINE_BYTES);
      await panel.api.send('POST', `/api/servers/${server.id}/command`, { command });
      // Not a line of the game that says so: the agent may have to throw it away.
      const isOver = async () => (await lastStoredSeq(pool, server.id)) >= lastSeq;
      await waitUntil('every line is stored or given up', FLOOD_TIMEOUT_MS, isOver);
      bench.note(`the real agent used at most ${megabytes(agentMemory.stop())}`);
      return [];
    },
  };
}

function judgePanel(name: string, { grownMb, health, healthy, paused, lines }: Observed): Finding[] {
  return [
    {
      measure: `${name}: growth of the panel's memory`,
      target: `< ${MEMORY_TARGET_MB} MB`,
      measured: megabytes(grownMb),
      isMet: grownMb < MEMORY_TARGET_MB,
    },
    {
      measure: `${name}: slowest of ${health.count} answers of /health`,
      target: `< ${HEALTH_TARGET_MS} ms`,
      measured: `${milliseconds(health.maxMs)} (p99 ${milliseconds(percentile(health, 0.99))})`,
      isMet: health.maxMs < HEALTH_TARGET_MS,
    },
    accounting(`${name}: what the reading subscriber got or was told of`, healthy, lines),
    accounting(`${name}: what the paused subscriber got or was told of`, paused, lines),
  ];
}

function judgeLag(name: string, { lag }: Observed): Finding {
  return {
    measure: `${name}: the reading subscriber is behind by at most`,
    target: `≤ ${LAG_TARGET_MS} ms`,
    measured: `${milliseconds(lag.maxMs)} (p99 ${milliseconds(percentile(lag, 0.99))})`,
    isMet: lag.count > 0 && lag.maxMs <= LAG_TARGET_MS,
  };
}

function judgeBackPressure(
  rate: Rate,
  { blockedMs, unacknowledgedMaxBytes, droppedLines }: LoadResult,
): Finding {
  const kilobytes = (bytes: number) => `${count(bytes / 1024)} KiB`;
  return {
    measure: `${describe(rate, 'an agent without a throttle')}: the panel holds it back`,
    target: `≤ ${kilobytes(UNACKNOWLEDGED_TARGET_BYTES)} under way`,
    measured:
      `${kilobytes(unacknowledgedMaxBytes)}; it waited ${milliseconds(blockedMs)}, ` +
      `gave up and announced ${count(droppedLines)} lines`,
    isMet: blockedMs > 0 && unacknowledgedMaxBytes <= UNACKNOWLEDGED_TARGET_BYTES,
  };
}

/** Each line arrives once or is announced once. */
function accounting(measure: string, progress: Progress, lines: number): Finding {
  const { delivered, announced, missed, repeated } = progress;
  const unknown = lines - delivered - announced;
  return {
    measure,
    target: 'all, none twice',
    measured:
      `${count(delivered)} + ${count(announced)} announced = ${count(lines)}` +
      (unknown === 0 ? '' : ` − ${count(unknown)} LOST IN SILENCE`) +
      (repeated === 0 ? '' : `, ${count(repeated)} TWICE`),
    isMet: unknown === 0 && missed === 0 && repeated === 0,
  };
}
