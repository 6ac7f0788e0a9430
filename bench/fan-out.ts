import type { Bench } from './harness/bench.js';
import type { BroadcasterRole } from './harness/broadcaster.js';
import { type Delivery, measureDelivery } from './harness/delivery.js';
import { median } from './harness/histogram.js';
import { type Panel, startPanel } from './harness/panel.js';
import { count, type Finding } from './harness/report.js';
import { startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import type { AgentAddress } from './harness/simulated-agent.js';
import { storedLines } from './harness/stored-lines.js';

interface Case {
  subscribers: number;
  /** Null: whatever has gathered in 25 ms. */
  batchLines: number | null;
}

const CASES: Case[] = [
  { subscribers: 100, batchLines: 25 },
  { subscribers: 500, batchLines: 25 },
  { subscribers: 100, batchLines: null },
  { subscribers: 500, batchLines: null },
];
/**
 * More than ten times the lines a second that an agent lets a server write. There PostgreSQL needs a core of its own, which
 * the broadcaster without one has to spare: worth knowing, but no server gets there.
 */
const BEYOND: Case = { subscribers: 100, batchLines: 250 };
const ROUNDS = 3;
const RATIO_TARGET = 0.8;

interface Sides {
  panel: Panel;
  broadcasterUrl: string;
  agent: Omit<AgentAddress, 'url'>;
}

/**
 * How many lines a second reach the subscribers of one server, all of them together, while every line is also
 * stored, against a `ws` broadcaster that stores nothing. The same agent and the same swarm drive both; the
 * agent sends as fast as the slowest subscriber receives.
 */
export async function fanOut(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const { node, server } = await createConsoleServer(panel.api);
  const broadcaster = startRole<BroadcasterRole>('broadcaster');
  bench.defer(() => broadcaster.stop());
  const broadcasterUrl = await broadcaster.call('listen');

  const agent = { nodeId: node.id, token: node.secret, serverId: server.id, serverUuid: server.uuid };
  const sides: Sides = { panel, broadcasterUrl, agent };
  const findings: Finding[] = [];
  for (const one of CASES) findings.push(await compare(bench, sides, one));
  const beyond = await compare(bench, sides, BEYOND);
  bench.note(
    `not judged: ${beyond.measure}: ${beyond.measured}, bare ${beyond.baseline}, ratio ${beyond.ratio?.toFixed(2)}`,
  );
  return findings;
}

async function compare(bench: Bench, sides: Sides, { subscribers, batchLines }: Case): Promise<Finding> {
  const { panel, broadcasterUrl, agent } = sides;
  const ourUrl = `${panel.socketUrl}?token=${panel.api.token()}`;
  const batches = batchLines === null ? 'batches of 25 ms' : `batches of ${batchLines} lines`;
  const baseline: number[] = [];
  const measured: number[] = [];
  let isWhole = true;
  for (let round = 1; round <= ROUNDS; round += 1) {
    const bare = await measureDelivery({
      agent: { ...agent, url: broadcasterUrl },
      subscriberUrl: broadcasterUrl,
      subscribers,
      batchLines,
    });
    const ours = await measureDelivery({
      agent: { ...agent, url: panel.socketUrl },
      subscriberUrl: ourUrl,
      subscribers,
      batchLines,
    });
    const { firstSeq, lastSeq } = ours.load;
    const stored = await storedLines(panel.database.pool, agent.serverId, firstSeq, lastSeq);
    isWhole &&= isComplete(ours) && stored === lastSeq - firstSeq + 1;
    baseline.push(bare.linesPerSecond);
    measured.push(ours.linesPerSecond);
  }
  bench.note(
    `${subscribers} subscribers, ${batches}: ${measured.map(count).join(', ')}; bare ${baseline.map(count).join(', ')}`,
  );
  const ratio = median(measured) / median(baseline);
  return {
    measure: `lines delivered to ${subscribers} subscribers, each stored once, ${batches}`,
    target: `≥ ${RATIO_TARGET} of bare ws`,
    measured: `${count(median(measured))}/s${isWhole ? '' : ', NOT ALL LINES ARRIVED'}`,
    baseline: `${count(median(baseline))}/s`,
    ratio,
    isMet: isWhole && ratio >= RATIO_TARGET,
  };
}

function isComplete({ progress }: Delivery): boolean {
  return progress.announced + progress.missed + progress.repeated + progress.ended === 0;
}
