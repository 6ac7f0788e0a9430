import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './harness/bench.js';
import { GAME_SCRIPT, writeCommand } from './harness/game.js';
import { median } from './harness/histogram.js';
import { type Panel, startPanel } from './harness/panel.js';
import { waitUntil } from './harness/process.js';
import { createRawTable, insertRaw } from './harness/raw-insert.js';
import { killServer, runServer, startRealAgent } from './harness/real-agent.js';
import { count, type Finding } from './harness/report.js';
import { startRole } from './harness/role.js';
import { createConsoleServer } from './harness/seed.js';
import type { SimulatedAgentRole } from './harness/simulated-agent.js';
import { storedLines } from './harness/stored-lines.js';
import type { SwarmRole } from './harness/swarm.js';

const LINES_PER_SECOND = 5000;
const SECONDS = 20;
const LINE_BYTES = 100;
const ARRIVAL_TIMEOUT_MS = SECONDS * 1000 + 20_000;

const STORE_ROUNDS = 3;
const STORE_SECONDS = 4;
/** So many lines are in a full batch. */
const BATCH_LINES = 2500;
const RATIO_TARGET = 0.5;

/** Whether a busy server's lines all arrive, and how fast the store is against the plainest bulk insert there is. */
export async function ingest(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  return [...(await everyLine(bench, panel)), await storeSpeed(bench, panel)];
}

async function everyLine(bench: Bench, panel: Panel): Promise<Finding[]> {
  const { node, server } = await createConsoleServer(panel.api, GAME_SCRIPT);
  const agent = await startRealAgent(panel, node, bench.directory);
  const watcher = startRole<SwarmRole>('swarm');
  try {
    await runServer(panel, server.id);
    const url = `${panel.socketUrl}?token=${panel.api.token()}`;
    await watcher.call('connect', { url, serverId: server.id, subscribers: 1, mode: 'latency' });
    const command = writeCommand(LINES_PER_SECOND, SECONDS, LINE_BYTES);
    await panel.api.send('POST', `/api/servers/${server.id}/command`, { command });
    const wanted = LINES_PER_SECOND * SECONDS;
    let delivered = 0;
    await waitUntil('every line has arrived', ARRIVAL_TIMEOUT_MS, async () => {
      await delay(200);
      delivered += (await watcher.call('takeLatencies')).count;
      return delivered >= wanted;
    }).catch((error: Error) => bench.note(error.message));
    await delay(1000);
    delivered += (await watcher.call('takeLatencies')).count;
    const { repeated, missed, announced } = await watcher.call('progress');
    const stored = await storedGameLines(panel, server.id);
    const name = `${count(LINES_PER_SECOND)} lines/s for ${SECONDS} s from one real process`;
    return [
      {
        measure: `${name}: delivered`,
        target: `${count(wanted)}, none twice`,
        measured: `${count(delivered)}; lost ${count(missed + announced)}, twice ${count(repeated)}`,
        isMet: delivered === wanted && repeated + missed + announced === 0,
      },
      {
        measure: `${name}: stored`,
        target: `${count(wanted)}, none twice`,
        measured: `${count(stored.rows)} rows, ${count(stored.lines)} different lines`,
        isMet: stored.rows === wanted && stored.lines === wanted,
      },
    ];
  } finally {
    await killServer(panel, server.id);
    await Promise.all([agent.stop(), watcher.stop()]);
  }
}

/** By what the game wrote, not by our own numbering. */
async function storedGameLines(panel: Panel, serverId: string): Promise<{ rows: number; lines: number }> {
  const { rows } = await panel.database.pool.query<{ rows: string; lines: string }>(
    `SELECT count(*) AS rows, count(DISTINCT substring("data" FROM ' n=([0-9]+) ')) AS lines
     FROM "history"."server_logs" WHERE "serverId" = $1 AND "data" LIKE '% n=%'`,
    [serverId],
  );
  return { rows: Number(rows[0]?.rows), lines: Number(rows[0]?.lines) };
}

async function storeSpeed(bench: Bench, panel: Panel): Promise<Finding> {
  const { pool } = panel.database;
  await createRawTable(pool);
  const baseline: number[] = [];
  const measured: number[] = [];
  for (let round = 1; round <= STORE_ROUNDS; round += 1) {
    baseline.push(
      await insertRaw({ pool, seconds: STORE_SECONDS, batchLines: BATCH_LINES, lineBytes: LINE_BYTES }),
    );
    measured.push(await storeThroughPanel(panel, round));
    bench.note(`round ${round}: ${count(measured.at(-1) ?? 0)} rows/s, raw ${count(baseline.at(-1) ?? 0)}`);
  }
  const ratio = median(measured) / median(baseline);
  return {
    measure: 'rows stored of an agent that sends as fast as it is let',
    target: `≥ ${RATIO_TARGET} of raw unnest through pg`,
    measured: `${count(median(measured))}/s`,
    baseline: `${count(median(baseline))}/s`,
    ratio,
    isMet: ratio >= RATIO_TARGET,
  };
}

/** Rows a second from the first line to the acknowledgement of the last; each row is counted afterwards. */
async function storeThroughPanel(panel: Panel, round: number): Promise<number> {
  const { node, server } = await createConsoleServer(panel.api, '', `store-${round}`);
  const agent = startRole<SimulatedAgentRole>('simulated-agent');
  try {
    const address = { nodeId: node.id, token: node.secret, serverId: server.id, serverUuid: server.uuid };
    await agent.call('connect', { ...address, url: panel.socketUrl });
    const durationMs = STORE_SECONDS * 1000;
    const limits = { batchLines: BATCH_LINES, linesPerSecond: null, undeliveredMaxLines: null };
    const result = await agent.call('write', { ...limits, durationMs, lineBytes: LINE_BYTES });
    const lines = result.lastSeq - result.firstSeq + 1;
    const stored = await storedLines(panel.database.pool, server.id, result.firstSeq, result.lastSeq);
    if (stored !== lines) throw new Error(`${lines} lines were acknowledged and ${stored} are stored.`);
    return (lines * 1000) / result.elapsedMs;
  } finally {
    await agent.stop();
  }
}
