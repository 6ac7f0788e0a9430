import { afterAll, beforeAll, expect, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { insertPool } from '../helpers/nodes.js';
import type { TestUser } from '../helpers/panel.js';

const VARIABLE = { description: '', default: null, required: false, userEditable: true, rules: '' };

let panel: PanelWithDoors;
let administrator: TestUser;
let nodeId: string;
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  administrator = await panel.createAdministrator();
  const node = await panel.createNode({ maxCpuCores: 1000 });
  nodeId = node.id;
  agent = await panel.connect({
    nodeId,
    token: node.secret,
    handshake: { capabilities: Object.values(Capability), protocolVersion: 1, runtime: 'docker' },
  });
  await agent.next('node_handshake_response');
});

afterAll(() => panel.close());

/** A server as `create` makes it, and what its agent is told at its installation. */
async function specified(template: Record<string, unknown>, fields: Record<string, unknown> = {}) {
  const { id: templateId } = await panel.createTemplate(template);
  const { id } = await created({ templateId, ...fields });
  return { id, templateId, message: await install(id) };
}

async function created(fields: Record<string, unknown>) {
  const answer = await panel.post(
    '/api/servers',
    {
      name: 'a server',
      nodeId,
      allocatedMemoryMb: 512,
      allocatedCpuCores: 0.5,
      allocatedDiskMb: 10,
      ...fields,
    },
    administrator.token,
  );
  expect(answer, answer.text).toMatchObject({ status: 201 });
  return answer.body.data;
}

async function install(id: string) {
  const answer = await panel.post(`/api/servers/${id}/install`, undefined, administrator.token);
  expect(answer, answer.text).toMatchObject({ status: 200 });
  return agent.next('install_server', ({ serverId }) => serverId === id);
}

test('a server runs the image that was chosen for it, or else its template’s', async () => {
  const template = { dockerImage: 'game:1', images: { Two: 'game:2' } };
  expect((await specified(template)).message).toMatchObject({ template: { dockerImage: 'game:1' } });
  const chosen = await specified(template, { dockerImage: 'game:2' });
  expect(chosen.message).toMatchObject({ template: { dockerImage: 'game:2' } });
});

test('the memory is there as a number, too', async () => {
  const { message } = await specified({ startCommand: 'game -Xmx{{MEMORY}} -mb {{MEMORY_MB}}' });
  expect(message).toMatchObject({
    command: ['game', '-Xmx512M', '-mb', '512'],
    environment: { MEMORY: '512M', MEMORY_MB: '512' },
  });
});

test('values of configuration files are filled in, those of inner maps too', async () => {
  const configFiles = [
    {
      path: 'server.properties',
      parser: 'properties',
      values: { 'server-port': '{{PORT}}', 'max-players': 20, pvp: true, motd: '{{MOTD}} on {{PORT}}' },
    },
    {
      path: 'config.yml',
      parser: 'yaml',
      values: { 'listeners[0].host': { 'old.{{MOTD}}': '0.0.0.0:{{PORT}}', '*': '{{MOTD}}' } },
    },
  ];
  const { templateId, message } = await specified(
    { variables: [{ ...VARIABLE, name: 'MOTD' }] },
    { environment: { MOTD: 'a {{PORT}}' } },
  );
  expect(message.configFiles).toEqual([]);
  await panel.context.database.prisma.template.update({ where: { id: templateId }, data: { configFiles } });
  const next = await created({ templateId, environment: { MOTD: 'a {{PORT}}' } });
  expect((await install(next.id)).configFiles).toEqual([
    {
      path: 'server.properties',
      parser: 'properties',
      // A value that looks like a placeholder stays what it is.
      values: {
        'server-port': '25565',
        'max-players': 20,
        pvp: true,
        motd: 'a {{PORT}} on 25565',
      },
    },
    {
      path: 'config.yml',
      parser: 'yaml',
      values: { 'listeners[0].host': { 'old.{{MOTD}}': '0.0.0.0:25565', '*': 'a {{PORT}}' } },
    },
  ]);
});

test('the agent is told how the install script is run', async () => {
  const plain = await specified({});
  expect(plain.message.template).toMatchObject({
    installShell: 'sh',
    installDataPath: null,
    installAsRoot: false,
  });
  const { id, templateId } = plain;
  await panel.context.database.prisma.template.update({
    where: { id: templateId },
    data: { installShell: 'bash', installDataPath: '/mnt/server', installAsRoot: true },
  });
  agent.report(id, 'stopped');
  const next = await created({ templateId });
  expect((await install(next.id)).template).toMatchObject({
    installShell: 'bash',
    installDataPath: '/mnt/server',
    installAsRoot: true,
  });
});

test('values of variables that the template does not declare any more go nowhere', async () => {
  const { id: templateId } = await panel.createTemplate({
    variables: [
      { ...VARIABLE, name: 'OLD' },
      { ...VARIABLE, name: 'KEPT' },
    ],
  });
  const { id } = await created({ templateId, environment: { OLD: 'evil', KEPT: 'good' } });
  await panel.context.database.prisma.template.update({
    where: { id: templateId },
    data: { variables: [{ ...VARIABLE, name: 'KEPT' }], startCommand: 'game {{OLD}}' },
  });
  const message = await install(id);
  expect(message.environment).toMatchObject({ KEPT: 'good' });
  expect(message.environment).not.toHaveProperty('OLD');
  expect(message.command).toEqual(['game', '{{OLD}}']);
  // The owner can still send back what he was shown.
  const { environment } = (await panel.get(`/api/servers/${id}`, administrator.token)).body.data;
  expect(environment).toEqual({ OLD: 'evil', KEPT: 'good' });
  const url = `/api/servers/${id}`;
  expect((await panel.put(url, { environment }, administrator.token)).status).toBe(200);
  expect(await panel.put(url, { environment: { OLD: 'new' } }, administrator.token)).toMatchObject({
    status: 400,
    body: { code: 'server.variable_invalid' },
  });
});

test('a server with an address of its own is told its network, and nothing of it is published', async () => {
  const { networkName } = await insertPool(panel, nodeId, {
    driver: 'macvlan',
    parentInterface: 'eth0',
    gateway: '192.0.2.1',
  });
  const { id: templateId } = await panel.createTemplate({ startCommand: 'game --port {{PORT}}' });
  const { id } = await created({ templateId, networkMode: networkName });
  expect(await install(id)).toMatchObject({
    networkMode: 'players',
    network: {
      name: 'players',
      driver: 'macvlan',
      parentInterface: 'eth0',
      cidr: '192.0.2.0/29',
      gateway: '192.0.2.1',
      ipAddress: '192.0.2.2',
    },
    portBindings: [],
    primaryPort: 25_565,
    command: ['game', '--port', '25565'],
  });
  const bridged = await created({ templateId, portBindings: { 25565: 28_000 } });
  expect(await install(bridged.id)).toMatchObject({
    networkMode: 'bridge',
    network: null,
    portBindings: [{ hostIp: '0.0.0.0', hostPort: 28_000, containerPort: 25_565 }],
  });
});
