import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { BareArgon2Role } from './harness/bare-argon2.js';
import type { BareRestRole } from './harness/bare-rest.js';
import type { Bench } from './harness/bench.js';
import { median } from './harness/histogram.js';
import { type Panel, startPanel } from './harness/panel.js';
import { count, type Finding } from './harness/report.js';
import type { RequestsRole } from './harness/requests.js';
import type { RightsRole } from './harness/rights.js';
import { type RoleProcess, startRole } from './harness/role.js';
import { createNode, createServers, createTemplate } from './harness/seed.js';

const CONNECTIONS = 20;
const SERVERS = 10_000;
const ROUNDS = 3;
const SECONDS = 4;
const WARM_UP_SECONDS = 2;
const LIST_RATIO_TARGET = 0.5;
const LOGIN_RATIO_TARGET = 0.8;
/** As the panel does it, so that a wave of logins leaves a core for everybody else. */
const CHECKS_AT_ONCE = 1;
const RIGHTS_TARGET_MS = 0.1;
const RIGHTS_CHECKS = 200_000;

interface Means {
  bench: Bench;
  panel: Panel;
  requests: RoleProcess<RequestsRole>;
}

/** What it costs to know who asks and what he may do, and to find his servers among many. */
export async function accounts(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const requests = startRole<RequestsRole>('requests');
  bench.defer(() => requests.stop());
  const means: Means = { bench, panel, requests };
  const serverId = await fillWithServers(panel);
  return [await list(means), await rights(means, serverId), await logins(means)];
}

/** One server through the API, the others as copies of its row: ten thousand requests would take minutes. */
async function fillWithServers({ api, database }: Panel): Promise<string> {
  const node = await createNode(api, 'bench');
  const templateId = await createTemplate(api, 'bench', '');
  const [server] = await createServers(api, { node, templateId, count: 1 });
  if (!server) throw new Error('The panel created no server.');
  await database.pool.query(
    `INSERT INTO "Server" ("id", "uuid", "name", "ownerId", "nodeId", "templateId", "allocatedMemoryMb",
       "allocatedCpuCores", "allocatedDiskMb", "primaryPort", "containerName", "createdAt", "updatedAt")
     SELECT 'copy-' || n, gen_random_uuid(), 'bench-' || n, "ownerId", "nodeId", "templateId", "allocatedMemoryMb",
       "allocatedCpuCores", "allocatedDiskMb", "primaryPort", 'catalyst-' || n, now() + n * interval '1 second', now()
     FROM "Server", generate_series(2, $1) AS n WHERE "id" = $2`,
    [SERVERS, server.id],
  );
  await database.pool.query('VACUUM ANALYZE');
  return server.id;
}

async function list({ bench, panel, requests }: Means): Promise<Finding> {
  const bare = startRole<BareRestRole>('bare-rest');
  bench.defer(() => bare.stop());
  const bareUrl = await bare.call('listen', { databaseUrl: panel.database.url });
  const headers = { authorization: `Bearer ${panel.api.token()}` };
  const ask = (url: string, duration: number) =>
    requests.call('send', {
      url: `${url}/api/servers?limit=20`,
      connections: CONNECTIONS,
      duration,
      headers,
    });

  const { ours, theirs } = await alternate(
    (seconds) => ask(panel.url, seconds),
    (seconds) => ask(bareUrl, seconds),
  );
  return {
    measure: `list of 20 of ${count(SERVERS)} servers, ${CONNECTIONS} connections`,
    target: `≥ ${LIST_RATIO_TARGET} of bare Fastify and pg`,
    measured: `${count(ours)}/s`,
    baseline: `${count(theirs)}/s`,
    ratio: ours / theirs,
    isMet: ours / theirs >= LIST_RATIO_TARGET,
  };
}

async function rights({ bench, panel }: Means, serverId: string): Promise<Finding> {
  const role = startRole<RightsRole>('rights');
  bench.defer(() => role.stop());
  const { roleMs, serverMs } = await role.call('measure', {
    databaseUrl: panel.database.url,
    jwtSecret: readFileSync(path.join(panel.dataDir, 'jwt-secret'), 'utf8').trim(),
    token: panel.api.token(),
    serverId,
    checks: RIGHTS_CHECKS,
  });
  bench.note(`a right on one server, always asked of the database: ${serverMs.toFixed(3)} ms`);
  return {
    measure: 'who asks and whether a role of his gives the right, cached',
    target: `≤ ${RIGHTS_TARGET_MS} ms`,
    measured: `${roleMs.toFixed(4)} ms`,
    isMet: roleMs <= RIGHTS_TARGET_MS,
  };
}

async function logins({ bench, panel, requests }: Means): Promise<Finding> {
  const argon2 = startRole<BareArgon2Role>('bare-argon2');
  bench.defer(() => argon2.stop());
  const { ours, theirs } = await alternate(
    (seconds) =>
      requests.call('send', {
        url: `${panel.url}/api/auth/login`,
        method: 'POST',
        connections: CONNECTIONS,
        duration: seconds,
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(panel.administrator),
      }),
    (seconds) => argon2.call('verify', { atOnce: CHECKS_AT_ONCE, seconds }),
  );
  const onAllCores = await argon2.call('verify', { atOnce: availableParallelism(), seconds: SECONDS });
  bench.note(`argon2 on every core, with nothing left for anybody else: ${count(onAllCores)}/s`);
  return {
    measure: `logins, ${CONNECTIONS} connections`,
    target: `≥ ${LOGIN_RATIO_TARGET} of bare argon2, one check at a time`,
    measured: `${count(ours)}/s`,
    baseline: `${count(theirs)}/s`,
    ratio: ours / theirs,
    isMet: ours / theirs >= LOGIN_RATIO_TARGET,
  };
}

/** Ours, theirs, ours, theirs …, after a warm-up each. */
async function alternate(
  us: (seconds: number) => Promise<number>,
  them: (seconds: number) => Promise<number>,
): Promise<{ ours: number; theirs: number }> {
  await us(WARM_UP_SECONDS);
  await them(WARM_UP_SECONDS);
  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = 1; round <= ROUNDS; round += 1) {
    ours.push(await us(SECONDS));
    theirs.push(await them(SECONDS));
  }
  return { ours: median(ours) ?? 0, theirs: median(theirs) ?? 0 };
}
