import { setTimeout as delay } from 'node:timers/promises';
import { monotonicMs } from './lines.js';
import { waitUntil } from './process.js';
import { startRole } from './role.js';
import type { AgentAddress, LoadResult, SimulatedAgentRole } from './simulated-agent.js';
import type { Progress, SwarmRole } from './swarm.js';

const WARM_UP_MS = 2000;
const MEASURE_MS = 5000;
/** The last lines travel; a panel that stores more slowly than it delivers is given time, too. */
const SETTLE_MS = 500;
const ARRIVAL_TIMEOUT_MS = 20_000;
const FEEDBACK_INTERVAL_MS = 10;
const LINE_BYTES = 100;
/** Less than what counts as a slow subscriber anywhere, more than what travels in a batch. */
const UNDELIVERED_MAX_BYTES = 512 * 1024;

export interface DeliveryOptions {
  agent: AgentAddress;
  /** With the token, if one is needed. */
  subscriberUrl: string;
  subscribers: number;
  batchLines: number | null;
}

export interface Delivery {
  /** Received per second by all subscribers together, once the start is over. */
  linesPerSecond: number;
  progress: Progress;
  load: LoadResult;
}

/** Lets one server write as fast as its slowest subscriber receives, and counts what arrives. */
export async function measureDelivery(options: DeliveryOptions): Promise<Delivery> {
  const agent = startRole<SimulatedAgentRole>('simulated-agent');
  const swarm = startRole<SwarmRole>('swarm');
  let isOver = false;
  try {
    await agent.call('connect', options.agent);
    const { subscriberUrl: url, subscribers } = options;
    await swarm.call('connect', { url, serverId: options.agent.serverId, subscribers, mode: 'count' });
    const writing = agent.call('write', {
      durationMs: WARM_UP_MS + MEASURE_MS + SETTLE_MS,
      lineBytes: LINE_BYTES,
      linesPerSecond: null,
      batchLines: options.batchLines,
      undeliveredMaxLines: Math.floor(UNDELIVERED_MAX_BYTES / LINE_BYTES),
    });
    const feedback = (async () => {
      while (!isOver) {
        await agent.call('delivered', (await swarm.call('progress')).slowestSeq);
        await delay(FEEDBACK_INTERVAL_MS);
      }
    })();
    await delay(WARM_UP_MS);
    const linesPerSecond = await countDeliveries(() => swarm.call('progress'));
    const load = await writing;
    const hasAll = async () => (await swarm.call('progress')).slowestSeq >= load.lastSeq;
    await waitUntil('the last line is with every subscriber', ARRIVAL_TIMEOUT_MS, hasAll);
    const progress = await swarm.call('progress');
    isOver = true;
    await feedback;
    await swarm.call('close');
    return { linesPerSecond, progress, load };
  } finally {
    isOver = true;
    await Promise.all([agent.stop(), swarm.stop()]);
  }
}

async function countDeliveries(progress: () => Promise<Progress>): Promise<number> {
  const before = await progress();
  const startedAt = monotonicMs();
  await delay(MEASURE_MS);
  const after = await progress();
  return ((after.delivered - before.delivered) * 1000) / (monotonicMs() - startedAt);
}
