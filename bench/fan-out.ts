import type { Bench } from './harness/bench.js';
import type { BroadcasterRole } from './harness/broadcaster.js';
import { type Delivery, measureDelivery } from './harness/delivery.js';
import { median } from './harness/histogram.js';
import { startPanel } from './harness/panel.js';
import { count, type Finding } from './harness/report.js';
import { startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import { storedLines } from './harness/stored-lines.js';

/** A quiet batch, as a server that writes 1,000 lines/s fills it in 25 ms, and whatever fits into 25 ms. */
const CASES = [
  { subscribers: 100, batchLines: 250 },
  { subscribers: 500, batchLines: 250 },
];
const ROUNDS = 3;
const RATIO_TARGET = 0.8;

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
  const findings: Finding[] = [];
  for (const { subscribers, batchLines } of CASES) {
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
        subscriberUrl: `${panel.socketUrl}?token=${panel.api.token()}`,
        subscribers,
        batchLines,
      });
      const stored = await storedLines(database.pool, server.id, ours.load.firstSeq, ours.load.lastSeq);
      isWhole &&= isComplete(ours) && stored === ours.load.lastSeq - ours.load.firstSeq + 1;
      baseline.push(bare.linesPerSecond);
      measured.push(ours.linesPerSecond);
      bench.note(
        `${subscribers} subscribers, round ${round}: ${count(ours.linesPerSecond)} lines/s, bare ${count(bare.linesPerSecond)}; ` +
          `stored ${count(stored)} lines; ${JSON.stringify(ours.progress)}`,
      );
    }
    const ratio = median(measured) / median(baseline);
    findings.push({
      measure: `lines delivered to ${subscribers} subscribers, each stored once, ${batchLines === null ? 'batches of 25 ms' : `batches of ${batchLines} lines`}`,
      target: `≥ ${RATIO_TARGET} of bare ws`,
      measured: `${count(median(measured))}/s${isWhole ? '' : ', NOT ALL LINES ARRIVED'}`,
      baseline: `${count(median(baseline))}/s`,
      ratio,
      isMet: isWhole && ratio >= RATIO_TARGET,
    });
  }
  return findings;
}

function isComplete({ progress }: Delivery): boolean {
  return progress.announced + progress.missed + progress.repeated + progress.ended === 0;
}
