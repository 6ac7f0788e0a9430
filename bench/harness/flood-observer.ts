import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './bench.js';
import type { Histogram } from './histogram.js';
import { residentMb, watchMemory } from './memory.js';
import type { Panel } from './panel.js';
import { startProber } from './prober.js';
import { waitUntil } from './process.js';
import { type RoleProcess, startRole } from './role.js';
import { lastStoredSeq } from './stored-lines.js';
import type { Progress, SwarmRole } from './swarm.js';

/** How long a subscriber has to learn the end once everything is stored. */
const CATCH_UP_TIMEOUT_MS = 15_000;
const STORE_TIMEOUT_MS = 60_000;
const STORE_POLL_MS = 500;

interface Watchers {
  healthy: RoleProcess<SwarmRole>;
  paused: RoleProcess<SwarmRole>;
}

export interface Observed {
  /** Of the panel's resident memory, at its highest. */
  grownMb: number;
  /** Answers of /health meanwhile. */
  health: Histogram;
  /** From the game's output to the reading subscriber. */
  lag: Histogram;
  healthy: Progress;
  /** Of the subscriber that read nothing until the flood was over. */
  paused: Progress;
  /** Numbers that the panel has given or taken. */
  lines: number;
}

/** Watches a panel from all sides while `flood` runs: memory, /health, one subscriber that reads and one that does not. */
export async function observeFlood(options: {
  bench: Bench;
  panel: Panel;
  serverId: string;
  flood: () => Promise<void>;
}): Promise<Observed> {
  const { bench, panel, serverId, flood } = options;
  const watchers = await openWatchers(bench, panel, serverId);
  return await observe(panel, serverId, watchers, flood);
}

async function openWatchers(bench: Bench, panel: Panel, serverId: string): Promise<Watchers> {
  const healthy = startRole<SwarmRole>('swarm');
  const paused = startRole<SwarmRole>('swarm');
  bench.defer(() => healthy.stop());
  bench.defer(() => paused.stop());
  const url = `${panel.socketUrl}?token=${panel.api.token()}`;
  const options = { url, serverId, subscribers: 1, mode: 'latency' as const };
  await Promise.all([healthy.call('connect', options), paused.call('connect', options)]);
  return { healthy, paused };
}

async function observe(
  panel: Panel,
  serverId: string,
  { healthy, paused }: Watchers,
  flood: () => Promise<void>,
): Promise<Observed> {
  const before = residentMb(panel.pid);
  const firstSeq = (await healthy.call('progress')).slowestSeq + 1;
  const memory = watchMemory(panel.pid);
  const prober = startProber(`${panel.url}/health`);
  await paused.call('pause');
  await flood();
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
    lines: lastSeq - firstSeq + 1,
  };
}

/** The last number that the database has, once it no longer moves. */
async function storedSeq(panel: Panel, serverId: string): Promise<number> {
  let last = -1;
  await waitUntil('everything is stored', STORE_TIMEOUT_MS, async () => {
    const now = await lastStoredSeq(panel.database.pool, serverId);
    const isStill = now === last;
    last = now;
    await delay(STORE_POLL_MS);
    return isStill;
  });
  return last;
}

/** Gives a subscriber time to be told of everything; whether it was, its counts say. */
async function reach(watcher: RoleProcess<SwarmRole>, lastSeq: number): Promise<void> {
  const isThere = async () => (await watcher.call('progress')).slowestSeq >= lastSeq;
  await waitUntil('a subscriber knows of every line', CATCH_UP_TIMEOUT_MS, isThere).catch(() => {});
}
