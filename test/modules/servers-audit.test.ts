import { afterAll, beforeAll, expect, test } from 'vitest';
import { auditedActions, serverAudit } from '../helpers/audit.js';
import { connectClient } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let owner: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
  node = await panel.createNode({ maxCpuCores: 1000 });
  const handshake = { capabilities: ['command-results', 'inventory'] };
  agent = await panel.connectAgent(node, handshake);
});

afterAll(() => panel.close());

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

test.each([
  ['install', 'stopped'],
  ['start', 'stopped'],
  ['stop', 'running'],
  ['restart', 'running'],
  ['kill', 'running'],
])('%s writes who did it, from where', async (verb, status) => {
  const { id } = await server({ status });
  const response = await panel.app.inject({
    method: 'POST',
    url: `/api/servers/${id}/${verb}`,
    headers: { authorization: `Bearer ${owner.token}`, 'user-agent': 'a browser' },
  });
  expect(response.statusCode, response.body).toBe(200);
  const entries = await serverAudit(panel, id);
  expect(entries).toMatchObject([
    {
      action: `server.${verb}`,
      userId: owner.id,
      username: owner.username,
      apiKeyId: null,
      resourceType: 'server',
      resourceId: id,
      metadata: { serverName: 'a server' },
      ipAddress: '127.0.0.1',
      userAgent: 'a browser',
    },
  ]);
});

test('what was refused is not there', async () => {
  const { id } = await server({ status: 'running' });
  expect((await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).status).toBe(409);
  const away = await panel.createNode();
  const other = await server({ nodeId: away.id });
  expect((await panel.post(`/api/servers/${other.id}/start`, undefined, owner.token)).status).toBe(503);
  expect([...(await auditedActions(panel, id)), ...(await auditedActions(panel, other.id))]).toEqual([]);
});

test('of many starts at once exactly one is there', async () => {
  const { id } = await server();
  await Promise.all(
    Array.from({ length: 6 }, () => panel.post(`/api/servers/${id}/start`, undefined, owner.token)),
  );
  expect(await auditedActions(panel, id)).toEqual(['server.start']);
});

test('what the panel does by itself is its own', async () => {
  const made = await server({ desiredState: 'running' });
  const again = await panel.connect({
    nodeId: node.id,
    token: node.secret,
    handshake: { capabilities: ['command-results', 'inventory'] },
  });
  await again.next('node_handshake_response');
  agent = again;
  const entry = { serverId: made.id, serverUuid: made.uuid, state: 'stopped' };
  agent.send({ type: 'inventory', servers: [entry] });
  await agent.next('start_server', ({ serverId }) => serverId === made.id);
  expect(await serverAudit(panel, made.id)).toMatchObject([
    {
      action: 'server.start',
      userId: null,
      ipAddress: null,
      metadata: { because: 'The node came back.' },
    },
  ]);
});

test('of a console command the first word and the length, whatever else may be in it', async () => {
  const { id } = await server({ status: 'running' });
  const command = 'login  hunter2';
  expect((await panel.post(`/api/servers/${id}/command`, { command }, owner.token)).status).toBe(200);
  expect(await agent.next('execute_command')).toMatchObject({ command });
  const client = await connectClient({ port: panel.port, token: owner.token });
  client.send({ type: 'console_input', serverId: id, data: 'op somebody\n' });
  client.send({ type: 'console_input', serverId: id, data: `${'x'.repeat(300)}\n` });
  await agent.next('console_input', ({ data }) => data.startsWith('op'));
  await agent.next('console_input', ({ data }) => data.startsWith('x'));
  await eventually('three rows', async () => (await auditedActions(panel, id)).length === 3);
  const entries = await serverAudit(panel, id);
  expect(entries.map(({ metadata }) => metadata)).toEqual([
    { serverName: 'a server', command: 'login', length: 14 },
    { serverName: 'a server', command: 'op', length: 11 },
    { serverName: 'a server', command: 'x'.repeat(64), length: 300 },
  ]);
  expect(new Set(entries.map(({ action, userId }) => `${action} ${userId}`))).toEqual(
    new Set([`server.command ${owner.id}`]),
  );
  await client.close();
});

test('a command that was not handed over is not there', async () => {
  const { id } = await server({ status: 'stopped' });
  const answer = await panel.post(`/api/servers/${id}/command`, { command: 'say hi' }, owner.token);
  expect(answer.status).toBe(409);
  expect(await auditedActions(panel, id)).toEqual([]);
});
