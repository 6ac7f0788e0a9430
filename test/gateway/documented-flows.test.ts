import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectClient } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let owner: TestUser;
let agent: DocumentedAgent;
let nodeId: string;
let templateId: string;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser(['server.create']);
  const node = await panel.createNode();
  nodeId = node.id;
  const template = await panel.createTemplate({
    dockerImage: 'itzg/minecraft-server:latest',
    startCommand: 'java -Xmx{{MEMORY}} -jar server.jar --port {{PORT}}',
    environment: { EULA: 'TRUE', MEMORY: '{{MEMORY}}', PORT: '{{PORT}}' },
    requiredVariables: ['MEMORY', 'PORT', 'EULA'],
  });
  templateId = template.id;
  agent = await panel.connect({ nodeId, token: node.secret });
});

afterAll(() => panel.close());

function status(serverId: string) {
  return panel.get(`/api/servers/${serverId}`, owner.token).then(({ body }) => body.data.status as string);
}

function becomes(serverId: string, wanted: string) {
  return eventually(`the server becomes ${wanted}`, async () => (await status(serverId)) === wanted);
}

test('the handshake is answered as documented', async () => {
  expect(await agent.next('node_handshake_response')).toMatchObject({ nodeId });
  const node = await eventually('the node is online', async () => {
    const { body } = await panel.get(`/api/nodes/${nodeId}`, owner.token);
    return body.data.isOnline && body.data;
  });
  expect(node.lastSeenAt).not.toBeNull();
});

test('flow 2: create, install, start and stop a server with documented messages alone', async () => {
  const created = await panel.post(
    '/api/servers',
    {
      name: 'minecraft-lobby',
      description: 'Main lobby server',
      templateId,
      nodeId,
      allocatedMemoryMb: 4096,
      allocatedCpuCores: 2,
      allocatedDiskMb: 10_240,
      primaryPort: 25_565,
      portBindings: { 25565: 25_565, 25575: 25_575 },
      networkMode: 'bridge',
      environment: { EULA: 'TRUE', MEMORY: '4096M', PORT: '25565' },
    },
    owner.token,
  );
  expect(created.status).toBe(201);
  const server = created.body.data;
  expect(server).toMatchObject({ name: 'minecraft-lobby', status: 'stopped' });

  const installed = await panel.post(`/api/servers/${server.id}/install`, undefined, owner.token);
  expect(installed).toMatchObject({
    status: 200,
    body: { success: true, message: 'Installation started', serverId: server.id },
  });
  const install = await agent.next('install_server');
  expect(install).toMatchObject({
    serverId: server.id,
    serverUuid: server.uuid,
    template: {
      dockerImage: 'itzg/minecraft-server:latest',
      environment: { EULA: 'TRUE', MEMORY: '4096M', PORT: '25565' },
    },
    allocatedMemoryMb: 4096,
    allocatedCpuCores: 2,
    allocatedDiskMb: 10_240,
    primaryPort: 25_565,
    networkMode: 'bridge',
    suspended: false,
  });
  expect(install).not.toHaveProperty('commandId');
  expect(await status(server.id)).toBe('installing');
  agent.report(server.id, 'stopped');
  await becomes(server.id, 'stopped');

  const started = await panel.post(`/api/servers/${server.id}/start`, undefined, owner.token);
  expect(started).toMatchObject({ status: 200, body: { success: true, message: 'Server start initiated' } });
  const start = await agent.next('start_server');
  expect(start).toMatchObject({
    serverUuid: server.uuid,
    template: { startCommand: 'java -Xmx4096M -jar server.jar --port 25565' },
    command: ['java', '-Xmx4096M', '-jar', 'server.jar', '--port', '25565'],
    environment: { EULA: 'TRUE', MEMORY: '4096M', PORT: '25565' },
    containerName: `catalyst-${server.uuid.slice(0, 8)}`,
    portBindings: [
      { hostIp: '0.0.0.0', hostPort: 25_565, containerPort: 25_565 },
      { hostIp: '0.0.0.0', hostPort: 25_575, containerPort: 25_575 },
    ],
  });
  agent.report(server.id, 'running');
  await becomes(server.id, 'running');

  const stopped = await panel.post(`/api/servers/${server.id}/stop`, { timeout: 30 }, owner.token);
  expect(stopped).toMatchObject({ status: 200, body: { success: true, message: 'Server stop initiated' } });
  expect(await agent.next('stop_server')).toMatchObject({ serverId: server.id, serverUuid: server.uuid });
  expect(await status(server.id)).toBe('stopping');
  agent.report(server.id, 'stopped');
  await becomes(server.id, 'stopped');

  const deleted = await panel.delete(`/api/servers/${server.id}`, owner.token);
  expect(deleted).toMatchObject({
    status: 200,
    body: { success: true, message: 'Server deleted successfully' },
  });
  expect((await panel.get(`/api/servers/${server.id}`, owner.token)).status).toBe(404);
});

test('flow 3: console lines to a subscriber and his input to the agent, documented messages alone', async () => {
  const server = await insertServer(panel, { nodeId, ownerId: owner.id, templateId, status: 'starting' });
  const client = await connectClient({ port: panel.port, token: owner.token });
  client.send({ type: 'subscribe', serverId: server.id, events: ['server_log', 'server_state_update'] });
  await client.next('subscribed');
  agent.report(server.id, 'running');
  expect(await client.next('server_state_update')).toMatchObject({
    serverId: server.id,
    state: 'running',
    previousState: 'starting',
  });
  const line = '[INFO] Player joined\n';
  agent.send({ type: 'console_output', serverId: server.id, stream: 'stdout', data: line });
  expect(await client.next('server_log')).toMatchObject({
    serverId: server.id,
    stream: 'stdout',
    data: line,
    timestamp: expect.any(String),
  });
  client.send({ type: 'console_input', serverId: server.id, data: 'say Hello from frontend!\n' });
  expect(await agent.next('console_input')).toEqual({
    type: 'console_input',
    serverId: server.id,
    data: 'say Hello from frontend!\n',
  });
  await client.close();
});
