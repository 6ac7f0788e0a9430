import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './harness/bench.js';
import type { BroadcasterRole } from './harness/broadcaster.js';
import { type Histogram, median, merge, percentile } from './harness/histogram.js';
import { startPanel } from './harness/panel.js';
import { type Finding, milliseconds } from './harness/report.js';
import { startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import type { AgentAddress, SimulatedAgentRole } from './harness/simulated-agent.js';
import type { SwarmRole } from './harness/swarm.js';

const SUBSCRIBERS = 1000;
const LINES_PER_SECOND = 100;
const LINE_BYTES = 100;
const WARM_UP_MS = 2000;
const MEASURE_MS = 5000;
const ROUNDS = 4;
const TARGET_MS = 50;

/**
 * How long a line is on its way from the game's output to each of a thousand subscribers, at a hundred lines a
 * second. The agent gathers lines for up to 25 ms; that is part of the way.
 */
export async function latency(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const { node, server } = await createConsoleServer(panel.api);
  const broadcaster = startRole<BroadcasterRole>('broadcaster');
  bench.defer(() => broadcaster.stop());
  const broadcasterUrl = await broadcaster.call('listen');

  const agent = { nodeId: node.id, token: node.secret, serverId: server.id, serverUuid: server.uuid };
  const subscriberUrl = `${panel.socketUrl}?token=${panel.api.token()}`;
  const baseline: Histogram[] = [];
  const measured: Histogram[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    baseline.push(await measureLatencies({ ...agent, url: broadcasterUrl }, broadcasterUrl));
    measured.push(await measureLatencies({ ...agent, url: panel.socketUrl }, subscriberUrl));
  }
  const ours = merge(measured);
  const p99s = (histograms: Histogram[]) => histograms.map((histogram) => percentile(histogram, 0.99));
  bench.note(`p99 of each round: ${p99s(measured).map(milliseconds).join(', ')}`);
  bench.note(`p99 of each round, bare: ${p99s(baseline).map(milliseconds).join(', ')}`);
  bench.note(
    `p50 ${milliseconds(percentile(ours, 0.5))}, bare ${milliseconds(percentile(merge(baseline), 0.5))}`,
  );
  const p99 = median(p99s(measured));
  const bareP99 = median(p99s(baseline));
  // A line that never comes has no latency: so the number of lines is looked at, too.
  const expected = (SUBSCRIBERS * LINES_PER_SECOND * MEASURE_MS * ROUNDS) / 1000;
  const isWhole = ours.count >= expected * 0.98;
  return [
    {
      measure: `${LINES_PER_SECOND} lines/s to ${SUBSCRIBERS} subscribers, p99 of the whole way`,
      target: `≤ ${TARGET_MS} ms`,
      measured: `${milliseconds(p99)} (max ${milliseconds(ours.maxMs)})${isWhole ? '' : ', LINES ARE MISSING'}`,
      baseline: milliseconds(bareP99),
      ratio: p99 / bareP99,
      isMet: isWhole && p99 <= TARGET_MS,
    },
  ];
}

async function measureLatencies(agentAddress: AgentAddress, subscriberUrl: string): Promise<Histogram> {
  const agent = startRole<SimulatedAgentRole>('simulated-agent');
  const swarm = startRole<SwarmRole>('swarm');
  try {
    await agent.call('connect', agentAddress);
    const { serverId } = agentAddress;
    await swarm.call('connect', { url: subscriberUrl, serverId, subscribers: SUBSCRIBERS, mode: 'latency' });
    const writing = agent.call('write', {
      durationMs: WARM_UP_MS + MEASURE_MS,
      lineBytes: LINE_BYTES,
      linesPerSecond: LINES_PER_SECOND,
      batchLines: null,
      undeliveredMaxLines: null,
    });
    await delay(WARM_UP_MS);
    await swarm.call('takeLatencies');
    await writing;
    return await swarm.call('takeLatencies');
  } finally {
    await Promise.all([agent.stop(), swarm.stop()]);
  }
}
