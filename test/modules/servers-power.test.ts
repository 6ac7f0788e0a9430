import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ServerStateChanged } from '../../src/events.js';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'crash-policy'], protocolVersion: 1, runtime: 'docker' };

let panel: PanelWithDoors;
let owner: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;
const changes: ServerStateChanged[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser(['server.create']);
  templateId = (await panel.createTemplate()).id;
  ({ node, agent } = await nodeWithAgent(CAPABLE));
  panel.context.bus.on('server.stateChanged', (change) => changes.push(change));
});

afterAll(() => panel.close());

async function nodeWithAgent(handshake?: Record<string, unknown>) {
  const made = await panel.createNode({ maxCpuCores: 1000 });
  return { node: made, agent: await panel.connectAgent(made, handshake) };
}

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

function power(id: string, verb: string, body?: unknown) {
  return panel.post(`/api/servers/${id}/${verb}`, body, owner.token);
}

/** Everything that the agent sent before this has been dealt with. */
async function allHandled(sender = agent): Promise<void> {
  sender.send({ type: 'are_you_done' });
  await sender.next('error', ({ code }) => code === 'gateway.type_unknown');
}

function changesOf(serverId: string) {
  return changes
    .filter((change) => change.serverId === serverId)
    .map(({ previousState, state }) => `${previousState} → ${state}`);
}

test.each([
  ['start', 'running', 'server.already_running'],
  ['start', 'starting', 'server.already_running'],
  ['start', 'installing', 'server.not_stopped'],
  ['stop', 'stopped', 'server.not_running'],
  ['stop', 'installing', 'server.not_running'],
  ['restart', 'stopped', 'server.not_running'],
  ['restart', 'crashed', 'server.not_running'],
  ['install', 'running', 'server.not_stopped'],
] as const)('%s of a server that is %s is 409 %s', async (verb, status, code) => {
  const { id } = await server({ status });
  const before = await storedServer(panel, id);
  expect(await power(id, verb)).toMatchObject({ status: 409, body: { code } });
  expect(await storedServer(panel, id)).toEqual(before);
});

test.each([
  ['a start command', { startCommand: 'run {{X}} {{X}} {{X}}' }],
  ['an environment variable', { environment: { OPTIONS: '{{X}}{{X}}' } }],
  [
    'altogether more',
    { environment: Object.fromEntries(Array.from({ length: 200 }, (_, index) => [`A${index}`, '{{X}}'])) },
  ],
])('values that make %s longer than agents take are 400, and the server is free', async (_what, fields) => {
  const variables = [
    { name: 'X', description: '', default: null, required: false, userEditable: true, rules: '' },
  ];
  const template = await panel.createTemplate({ variables, ...fields });
  const { id } = await server({ templateId: template.id, environment: { X: '\n'.repeat(8000) } });
  expect(await power(id, 'start')).toMatchObject({ status: 400, body: { code: 'server.variable_invalid' } });
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', activeAction: null });
});

test('start of a server that is not installed is 409 server.not_installed', async () => {
  const { id } = await server({ installedAt: null });
  expect(await power(id, 'start')).toMatchObject({ status: 409, body: { code: 'server.not_installed' } });
});

test.each([{ timeout: 0 }, { timeout: 3601 }, { timeout: '30' }, { time: 30 }, []])(
  'stop with %j is 400',
  async (body) => {
    const { id } = await server({ status: 'running' });
    expect((await power(id, 'stop', body)).status).toBe(400);
  },
);

test('a power action with an empty JSON object, or none but the content type, is taken', async () => {
  const { id } = await server();
  expect((await power(id, 'start', {})).status).toBe(200);
  const other = await server();
  const response = await panel.app.inject({
    method: 'POST',
    url: `/api/servers/${other.id}/start`,
    headers: { authorization: `Bearer ${owner.token}`, 'content-type': 'application/json' },
  });
  expect(response.statusCode, response.body).toBe(200);
});

test.each(['install', 'start', 'stop', 'restart', 'kill'])(
  '%s on an offline node is 503 node.offline and changes nothing',
  async (verb) => {
    const away = await panel.createNode({ maxCpuCores: 1000 });
    const status = verb === 'stop' || verb === 'restart' || verb === 'kill' ? 'running' : 'stopped';
    const { id } = await server({ nodeId: away.id, status });
    const before = await storedServer(panel, id);
    expect(await power(id, verb)).toMatchObject({ status: 503, body: { code: 'node.offline' } });
    expect(await storedServer(panel, id)).toEqual(before);
  },
);

test.each(['start', 'stop', 'kill'])(
  '%s at a panel that does not have the agent says where to ask, and changes nothing',
  async (verb) => {
    const other = await startPanel({ database: panel.database });
    const { id } = await server({ status: verb === 'start' ? 'stopped' : 'running' });
    const before = await storedServer(panel, id);
    const elsewhere = { code: 'node.offline', message: expect.stringContaining('another panel') };
    const answer = await other.post(`/api/servers/${id}/${verb}`, undefined, owner.token);
    expect(answer).toMatchObject({ status: 503, body: elsewhere });
    const command = await other.post(`/api/servers/${id}/command`, { command: 'x' }, owner.token);
    expect(command).toMatchObject({ status: 503, body: elsewhere });
    expect(await storedServer(panel, id)).toEqual(before);
    await other.close();
  },
);

test('of many starts at once exactly one is handed to the agent', async () => {
  const { id } = await server();
  const answers = await Promise.all(Array.from({ length: 10 }, () => power(id, 'start')));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ body }) => body.code === 'server.busy')).toHaveLength(9);
  await agent.next('start_server', ({ serverId }) => serverId === id);
  await allHandled();
  expect(agent.received.filter(({ serverId }) => serverId === id)).toEqual([]);
});

test('a server that is starting can be stopped as soon as the agent has said so', async () => {
  const { id } = await server();
  await power(id, 'start');
  expect(await power(id, 'stop')).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  agent.report(id, 'starting');
  await allHandled();
  expect(await power(id, 'stop', { timeout: 5 })).toMatchObject({ status: 200 });
  expect(await agent.next('stop_server', ({ serverId }) => serverId === id)).toMatchObject({
    timeoutSeconds: 5,
  });
  expect(await power(id, 'start')).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  agent.report(id, 'stopping');
  agent.report(id, 'stopped', { exitCode: 0 });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    desiredState: 'stopped',
    activeAction: null,
    exitCode: 0,
  });
  expect(changesOf(id)).toEqual(['stopped → starting', 'starting → stopping', 'stopping → stopped']);
});

test('a restart holds its server until it runs again', async () => {
  const { id } = await server({ status: 'running', desiredState: 'running' });
  expect(await power(id, 'restart')).toMatchObject({
    status: 200,
    body: { success: true, message: 'Server restart initiated' },
  });
  const { commandId, ...restart } = await agent.next('restart_server', ({ serverId }) => serverId === id);
  expect(restart).toMatchObject({
    template: { dockerImage: 'debian:bookworm-slim' },
    command: ['sleep', '1000'],
  });
  expect(commandId).toEqual(expect.any(String));
  for (const state of ['stopping', 'stopped', 'starting']) agent.report(id, state);
  await allHandled();
  expect(await power(id, 'stop')).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  agent.report(id, 'running');
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'running',
    desiredState: 'running',
    activeAction: null,
  });
  expect(changesOf(id)).toEqual([
    'running → stopping',
    'stopping → stopped',
    'stopped → starting',
    'starting → running',
  ]);
});

test('kill goes through whatever is under way, and a killed installation installs nothing', async () => {
  const { id } = await server({ installedAt: null });
  expect((await power(id, 'install')).status).toBe(200);
  expect(await power(id, 'kill')).toMatchObject({
    status: 200,
    body: { success: true, message: 'Server killed' },
  });
  await agent.next('kill_server', ({ serverId }) => serverId === id);
  agent.report(id, 'stopped');
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    installedAt: null,
    activeAction: null,
  });
  expect((await power(id, 'kill')).status).toBe(200);
  await agent.next('kill_server', ({ serverId }) => serverId === id);
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', activeAction: null });
});

test('a failed installation says why, and leaves nothing that could be started', async () => {
  const { id } = await server({ installedAt: null });
  await power(id, 'install');
  const { commandId } = await agent.next('install_server', ({ serverId }) => serverId === id);
  agent.report(id, 'stopped', { reason: 'the install script failed with code 2' });
  agent.send({ type: 'command_result', commandId, ok: false, code: 'install.failed', message: 'it failed' });
  await allHandled();
  const { body } = await panel.get(`/api/servers/${id}`, owner.token);
  expect(body.data).toMatchObject({
    status: 'stopped',
    statusReason: 'the install script failed with code 2',
    installedAt: null,
  });
  expect(await power(id, 'start')).toMatchObject({ body: { code: 'server.not_installed' } });
  expect((await power(id, 'install')).status).toBe(200);
});

test('an installation that a documented agent calls crashed has installed nothing', async () => {
  const documented = await nodeWithAgent();
  const { id } = await server({ nodeId: documented.node.id, installedAt: null });
  await power(id, 'install');
  documented.agent.report(id, 'crashed');
  await allHandled(documented.agent);
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'crashed',
    installedAt: null,
    activeAction: null,
  });
  expect((await power(id, 'install')).status).toBe(200);
});

test('a command that the agent refuses gives the server back, with the reason', async () => {
  const { id } = await server();
  await power(id, 'start');
  const { commandId } = await agent.next('start_server', ({ serverId }) => serverId === id);
  agent.send({ type: 'command_result', commandId: 'somebody-elses', ok: false });
  agent.send({
    type: 'command_result',
    commandId,
    ok: false,
    code: 'start.failed',
    message: 'no such image',
  });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    desiredState: 'stopped',
    statusReason: 'no such image',
    activeAction: null,
  });
  expect((await power(id, 'start')).status).toBe(200);
});

test("a result of another node's agent changes nothing", async () => {
  const { id } = await server();
  await power(id, 'start');
  const { commandId } = await agent.next('start_server', ({ serverId }) => serverId === id);
  const { agent: other } = await nodeWithAgent(CAPABLE);
  other.send({ type: 'command_result', commandId, ok: false });
  await allHandled(other);
  expect(await storedServer(panel, id)).toMatchObject({ status: 'starting', activeAction: 'start' });
});

test('stopping a crashed server calls its next start off', async () => {
  const { id } = await server({ status: 'crashed', desiredState: 'running' });
  expect((await power(id, 'stop')).status).toBe(200);
  agent.report(id, 'stopped');
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
});

test('a documented agent is sent no command ids, and a stop instead of a kill', async () => {
  const documented = await nodeWithAgent();
  const { id } = await server({ nodeId: documented.node.id, status: 'running' });
  await power(id, 'kill');
  const stop = await documented.agent.next('stop_server');
  expect(stop).not.toHaveProperty('commandId');
  documented.agent.report(id, 'stopped');
  await allHandled(documented.agent);
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', activeAction: null });
  expect(await power(id, 'restart')).toMatchObject({ status: 409 });
});

test('under the process runtime {{PORT}} is the port of the node, else that of the container', async () => {
  const template = await panel.createTemplate({
    startCommand: ['game', '--port', '{{PORT}}', '--name', '{{TITLE}}'],
    environment: { SERVER_PORT: '{{PORT}}' },
    variables: [
      { name: 'TITLE', description: '', default: 'a; b', required: false, userEditable: true, rules: '' },
    ],
  });
  for (const [runtime, port] of [
    ['process', '40123'],
    ['docker', '25565'],
  ] as const) {
    const made = await nodeWithAgent({ ...CAPABLE, runtime });
    const created = await panel.post(
      '/api/servers',
      {
        name: 'a server',
        templateId: template.id,
        nodeId: made.node.id,
        allocatedMemoryMb: 512,
        allocatedCpuCores: 1,
        allocatedDiskMb: 100,
        primaryPort: 25_565,
        portBindings: { 25565: 40_123 },
      },
      owner.token,
    );
    const { id, uuid } = created.body.data;
    await power(id, 'install');
    const install = await made.agent.next('install_server');
    expect(install).toMatchObject({
      command: ['game', '--port', port, '--name', 'a; b'],
      template: { startCommand: `game --port ${port} --name 'a; b'` },
      environment: {
        SERVER_PORT: port,
        PORT: port,
        MEMORY: '512M',
        TITLE: 'a; b',
        SERVER_ID: id,
        SERVER_UUID: uuid,
      },
      primaryPort: 25_565,
      portBindings: [{ hostIp: '0.0.0.0', hostPort: 40_123, containerPort: 25_565 }],
      restartPolicy: 'on-failure',
      maxCrashCount: 5,
    });
  }
});

test('delete tells the agent first and waits for its word', async () => {
  const { id, uuid } = await server();
  const answer = panel.delete(`/api/servers/${id}`, owner.token);
  const order = await agent.next('delete_server');
  expect(order).toMatchObject({ serverId: id, serverUuid: uuid });
  expect(await power(id, 'start')).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  agent.send({ type: 'command_result', commandId: order.commandId, ok: true });
  expect(await answer).toMatchObject({ status: 200 });
  expect((await panel.get(`/api/servers/${id}`, owner.token)).status).toBe(404);
});

test('a kill in the middle of a delete does not let anybody start what is being removed', async () => {
  const { id } = await server();
  const answer = panel.delete(`/api/servers/${id}`, owner.token);
  const { commandId } = await agent.next('delete_server', ({ serverId }) => serverId === id);
  expect(await power(id, 'kill')).toMatchObject({ status: 200 });
  expect(await power(id, 'start')).toMatchObject({ status: 409, body: { code: 'server.busy' } });
  agent.send({ type: 'command_result', commandId, ok: true });
  expect(await answer).toMatchObject({ status: 200 });
});

test('a delete that the agent refuses, or does not live to answer, keeps the server', async () => {
  const { id } = await server();
  const refused = panel.delete(`/api/servers/${id}`, owner.token);
  const { commandId } = await agent.next('delete_server', ({ serverId }) => serverId === id);
  agent.send({ type: 'command_result', commandId, ok: false, message: 'the disk is read-only' });
  expect(await refused).toMatchObject({ status: 409, body: { code: 'agent.rejected' } });
  const made = await nodeWithAgent(CAPABLE);
  const other = await server({ nodeId: made.node.id });
  const lost = panel.delete(`/api/servers/${other.id}`, owner.token);
  await made.agent.next('delete_server');
  made.agent.socket.terminate();
  expect(await lost).toMatchObject({ status: 503, body: { code: 'node.offline' } });
  for (const kept of [id, other.id]) {
    expect(await storedServer(panel, kept)).toMatchObject({ activeAction: null });
  }
});

test('a server whose agent leaves while a command is handed over is as it was', async () => {
  const made = await nodeWithAgent(CAPABLE);
  const { id } = await server({ nodeId: made.node.id });
  made.agent.socket.terminate();
  await eventually('the node has gone', () => !panel.context.agents.isConnected(made.node.id));
  expect(await power(id, 'start')).toMatchObject({ status: 503 });
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', activeAction: null });
});
