import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { startAgent } from '../../agent/agent.js';
import { agentConfig, configureCommand, makeDataDir, shimCommand } from '../agent/harness.js';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

/** Ends only when it is killed or told to. */
const STUBBORN_GAME = 'echo ready; while read line; do [ "$line" = quit ] && exit 0; done; sleep 1000';

let panel: PanelWithDoors;
let administrator: TestUser;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  administrator = await panel.createAdministrator();
});

afterAll(() => panel.close());

/** A node with a real agent in this process, and a server on it that runs. */
async function setStage() {
  const node = await panel.createNode({ portRangeStart: 27_100, portRangeEnd: 27_199 });
  const dataDir = makeDataDir();
  const config = {
    ...agentConfig({ url: `http://127.0.0.1:${panel.port}` }, dataDir),
    nodeId: node.id,
    nodeToken: node.secret,
  };
  const timings = { redialMinMs: 20, redialMaxMs: 100, restartDelayMs: 50 };
  const log = pino({ level: 'silent' });
  const start = () => startAgent({ config, shimCommand, configureCommand, log, timings });
  let agent: Awaited<ReturnType<typeof start>> | null = await start();
  const stop = async () => {
    await agent?.stop();
    agent = null;
  };
  onTestFinished(stop);
  await eventually('the agent is there', () => panel.context.agents.isConnected(node.id));
  const template = await panel.createTemplate({
    startCommand: ['sh', '-c', STUBBORN_GAME],
    stopCommand: 'quit',
    startupDetection: 'ready',
  });
  const created = await panel.post(
    '/api/servers',
    {
      name: 'a server',
      templateId: template.id,
      nodeId: node.id,
      allocatedMemoryMb: 128,
      allocatedCpuCores: 1,
      allocatedDiskMb: 100,
      primaryPort: 25_565,
    },
    administrator.token,
  );
  const { id, uuid } = created.body.data as { id: string; uuid: string };
  const stage = {
    id,
    directory: join(dataDir, 'servers', uuid),
    async restartAgent() {
      agent = await start();
    },
    stopAgent: stop,
    async post(path: string, status = 200) {
      const answer = await panel.post(`/api/servers/${id}${path}`, undefined, administrator.token);
      expect(answer.status, answer.text).toBe(status);
      return answer.body;
    },
    is: (status: string) =>
      eventually(`the server is ${status}`, async () => {
        const row = await panel.context.database.prisma.server.findUnique({ where: { id } });
        return row?.status === status && row.activeAction === null && row;
      }),
  };
  await stage.post('/install');
  await eventually('it is installed', async () => (await stage.is('stopped')).installedAt !== null);
  await stage.post('/start');
  await stage.is('running');
  return stage;
}

test('a running server is down after it was suspended, and starts again after that', async () => {
  const stage = await setStage();
  expect((await stage.post('/suspend')).data.status).toBe('suspended');
  await stage.is('stopped');
  await stage.post('/start', 423);
  expect((await stage.post('/unsuspend')).data.status).toBe('stopped');
  await stage.post('/start');
  await stage.is('running');
  // Suspended while it starts, this time.
  await stage.post('/restart');
  await stage.post('/suspend');
  await stage.is('stopped');
}, 60_000);

test('a server deleted by force while its node is away is gone from the node when that is back', async () => {
  const stage = await setStage();
  await stage.stopAgent();
  await eventually('the agent has gone', async () => {
    const { body } = await panel.get(`/api/servers/${stage.id}`, administrator.token);
    return body.data.statusStale;
  });
  expect(existsSync(stage.directory)).toBe(true);
  const url = `/api/servers/${stage.id}`;
  expect((await panel.delete(url, administrator.token)).body.code).toBe('server.not_stopped');
  expect((await panel.delete(`${url}?force=true`, administrator.token)).status).toBe(200);
  expect((await panel.get(url, administrator.token)).status).toBe(404);
  await stage.restartAgent();
  await eventually('its files are gone', () => !existsSync(stage.directory));
  const { removedServer } = panel.context.database.prisma;
  await eventually('it is forgotten', async () => (await removedServer.count()) === 0);
}, 60_000);

test('a running server deleted by force is killed and removed', async () => {
  const stage = await setStage();
  const url = `/api/servers/${stage.id}?force=true`;
  expect((await panel.delete(url, administrator.token)).status).toBe(200);
  await eventually('its files are gone', () => !existsSync(stage.directory));
}, 60_000);
