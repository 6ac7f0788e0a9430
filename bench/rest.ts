import type { BareRestRole } from './harness/bare-rest.js';
import type { Bench } from './harness/bench.js';
import { median, percentile } from './harness/histogram.js';
import { fillHistory } from './harness/history.js';
import { type Panel, startPanel } from './harness/panel.js';
import { startProber } from './harness/prober.js';
import { count, type Finding, milliseconds } from './harness/report.js';
import type { RequestsRole } from './harness/requests.js';
import { type RoleProcess, startRole } from './harness/role.js';
import { createNode, createServers, createTemplate } from './harness/seed.js';

const CONNECTIONS = 20;
const SERVERS = 20;
const ROUNDS = 3;
const SECONDS = 4;
const WARM_UP_SECONDS = 2;
const LIST_RATIO_TARGET = 0.5;
const GET_RATIO_TARGET = 0.4;
const HISTORY_RATIO_TARGET = 0.9;
const LOGINS = 20;
const LOGIN_SECONDS = 5;
const WAIT_TARGET_MS = 50;

interface Means {
  bench: Bench;
  /** Without and with a month of history. */
  fresh: SeededPanel;
  full: SeededPanel;
  bareUrl: string;
  requests: RoleProcess<RequestsRole>;
}

interface SeededPanel extends Panel {
  nodeId: string;
  serverIds: string[];
}

/** Answers a second. */
interface Speeds {
  bare: number;
  fresh: number;
  full: number;
}

/** What the panel adds to the database's work on every request, and whether history or logins get in the way. */
export async function rest(bench: Bench): Promise<Finding[]> {
  const fresh = await startSeededPanel(bench);
  const full = await startSeededPanel(bench);
  const { metrics, lines } = await fillHistory(full.database.pool, full.nodeId);
  bench.note(`history: ${count(metrics)} samples, ${count(lines)} lines`);
  await fresh.database.pool.query('VACUUM ANALYZE');

  const bare = startRole<BareRestRole>('bare-rest');
  const requests = startRole<RequestsRole>('requests');
  bench.defer(() => bare.stop());
  bench.defer(() => requests.stop());
  const bareUrl = await bare.call('listen', { databaseUrl: fresh.database.url });
  const means: Means = { bench, fresh, full, bareUrl, requests };

  const list = await compare(means, () => `/api/servers?limit=${SERVERS}`);
  const get = await compare(means, ({ serverIds }) => `/api/servers/${serverIds[0]}`);
  return [
    againstBare(`list of ${SERVERS} servers`, LIST_RATIO_TARGET, list),
    againstBare('one server', GET_RATIO_TARGET, get),
    withHistory(`list of ${SERVERS} servers`, list),
    withHistory('one server', get),
    await waitDuringLogins(means),
  ];
}

async function startSeededPanel(bench: Bench): Promise<SeededPanel> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const node = await createNode(panel.api, 'bench');
  const templateId = await createTemplate(panel.api, 'bench', '');
  const servers = await createServers(panel.api, { node, templateId, count: SERVERS });
  return { ...panel, nodeId: node.id, serverIds: servers.map(({ id }) => id) };
}

/** Bare, fresh, full, bare, fresh, full …, after a warm-up each. */
async function compare(
  { bench, fresh, full, bareUrl, requests }: Means,
  pathFor: (panel: SeededPanel) => string,
): Promise<Speeds> {
  async function measure(panel: SeededPanel, url: string, duration: number): Promise<number> {
    const headers = { authorization: `Bearer ${panel.api.token()}` };
    const target = url + pathFor(panel);
    return await requests.call('send', { url: target, connections: CONNECTIONS, duration, headers });
  }
  const sides = [
    { name: 'bare', panel: fresh, url: bareUrl, speeds: [] as number[] },
    { name: 'fresh', panel: fresh, url: fresh.url, speeds: [] as number[] },
    { name: 'full', panel: full, url: full.url, speeds: [] as number[] },
  ];
  for (const { panel, url } of sides) await measure(panel, url, WARM_UP_SECONDS);
  for (let round = 1; round <= ROUNDS; round += 1) {
    for (const { panel, url, speeds } of sides) speeds.push(await measure(panel, url, SECONDS));
  }
  for (const { name, speeds } of sides) {
    bench.note(`${pathFor(fresh)} ${name}: ${speeds.map(count).join(', ')} requests/s`);
  }
  const [bare, ours, later] = sides.map(({ speeds }) => median(speeds));
  return { bare: bare ?? 0, fresh: ours ?? 0, full: later ?? 0 };
}

function againstBare(name: string, target: number, { bare, fresh }: Speeds): Finding {
  const ratio = fresh / bare;
  return {
    measure: `${name}, ${CONNECTIONS} connections`,
    target: `≥ ${target} of bare Fastify and pg`,
    measured: `${count(fresh)}/s`,
    baseline: `${count(bare)}/s`,
    ratio,
    isMet: ratio >= target,
  };
}

function withHistory(name: string, { fresh, full }: Speeds): Finding {
  const ratio = full / fresh;
  return {
    measure: `${name}, with a month of samples and a million lines`,
    target: `≥ ${HISTORY_RATIO_TARGET} of without`,
    measured: `${count(full)}/s`,
    baseline: `${count(fresh)}/s`,
    ratio,
    isMet: ratio >= HISTORY_RATIO_TARGET,
  };
}

async function waitDuringLogins({ bench, fresh: panel, requests }: Means): Promise<Finding> {
  const prober = startProber(`${panel.url}/api/auth/me`, { authorization: `Bearer ${panel.api.token()}` });
  const logins = await requests.call('send', {
    url: `${panel.url}/api/auth/login`,
    method: 'POST',
    connections: LOGINS,
    duration: LOGIN_SECONDS,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(panel.administrator),
  });
  const waits = await prober.stop();
  bench.note(`${count(logins)} logins/s meanwhile`);
  return {
    measure: `slowest of ${waits.count} requests while ${LOGINS} logins run`,
    target: `< ${WAIT_TARGET_MS} ms`,
    measured: `${milliseconds(waits.maxMs)} (p99 ${milliseconds(percentile(waits, 0.99))})`,
    isMet: waits.maxMs < WAIT_TARGET_MS,
  };
}
