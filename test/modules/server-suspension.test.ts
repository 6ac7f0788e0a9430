import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { ServerStateChanged } from '../../src/events.js';
import { auditedActions, serverAudit } from '../helpers/audit.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'inventory', 'crash-policy'], runtime: 'docker' };

let panel: PanelWithDoors;
let owner: TestUser;
let operator: TestUser;
let stranger: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;
const changes: ServerStateChanged[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  operator = await panel.createUser(['server.suspend', 'server.read']);
  stranger = await panel.createUser();
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

function suspend(id: string, body?: unknown, token = operator.token) {
  return panel.post(`/api/servers/${id}/suspend`, body, token);
}

function unsuspend(id: string, token = operator.token) {
  return panel.post(`/api/servers/${id}/unsuspend`, undefined, token);
}

async function allHandled(sender = agent): Promise<void> {
  sender.send({ type: 'are_you_done' });
  await sender.next('error', ({ code }) => code === 'gateway.type_unknown');
}

function shown(serverId: string) {
  return changes
    .filter((change) => change.serverId === serverId)
    .map(({ previousState, state }) => `${previousState} → ${state}`);
}

describe.each(['suspend', 'unsuspend'])('%s', (verb) => {
  test('takes a role that may suspend: neither ownership nor membership gives that', async () => {
    const { id } = await server();
    const member = await panel.createUser();
    await panel.context.database.prisma.serverAccess.create({
      data: { serverId: id, userId: member.id, permissions: ['*'] },
    });
    const url = `/api/servers/${id}/${verb}`;
    expect((await panel.post(url)).status).toBe(401);
    for (const { token } of [owner, member, stranger]) {
      expect(await panel.post(url, undefined, token)).toMatchObject({
        status: 403,
        body: { code: 'permission.denied' },
      });
    }
    expect(await panel.post(`/api/servers/nosuch/${verb}`, undefined, operator.token)).toMatchObject({
      status: 404,
      body: { code: 'server.not_found' },
    });
    expect(await storedServer(panel, id)).toMatchObject({ suspendedAt: null });
  });
});

test.each([{ reason: '' }, { reason: 5 }, { reason: 'x'.repeat(501) }, { cause: 'x' }, []])(
  'suspend with %j is 400',
  async (body) => {
    const { id } = await server();
    expect((await suspend(id, body)).status).toBe(400);
    expect(await storedServer(panel, id)).toMatchObject({ suspendedAt: null });
  },
);

test('suspend and unsuspend answer as documented, each in the audit log', async () => {
  const { id } = await server();
  const answer = await suspend(id, { reason: 'Billing issue' });
  expect(answer).toMatchObject({ status: 200 });
  expect(answer.body).toEqual({
    success: true,
    data: {
      id,
      status: 'suspended',
      suspendedAt: expect.stringMatching(/^\d{4}-.*Z$/),
      suspendedByUserId: operator.id,
      suspensionReason: 'Billing issue',
    },
  });
  const { body: seen } = await panel.get(`/api/servers/${id}`, owner.token);
  expect(seen.data).toMatchObject({ status: 'suspended', suspensionReason: 'Billing issue' });
  expect(await suspend(id)).toMatchObject({ status: 409, body: { code: 'server.already_suspended' } });
  expect((await unsuspend(id)).body).toEqual({
    success: true,
    data: { id, status: 'stopped', suspendedAt: null, suspendedByUserId: null, suspensionReason: null },
  });
  expect(await unsuspend(id)).toMatchObject({ status: 409, body: { code: 'server.not_suspended' } });
  expect(shown(id)).toEqual(['stopped → suspended', 'suspended → stopped']);
  const [first, second, ...others] = await serverAudit(panel, id);
  expect(others).toEqual([]);
  expect(first).toMatchObject({
    action: 'server.suspend',
    userId: operator.id,
    username: operator.username,
    resourceType: 'server',
    resourceId: id,
    metadata: { serverName: 'a server', reason: 'Billing issue' },
  });
  expect(second).toMatchObject({ action: 'server.unsuspend', userId: operator.id });
});

test('of many suspensions at once exactly one is made', async () => {
  const { id } = await server();
  const answers = await Promise.all(Array.from({ length: 8 }, () => suspend(id)));
  expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
  expect(answers.filter(({ body }) => body.code === 'server.already_suspended')).toHaveLength(7);
  expect(await auditedActions(panel, id)).toEqual(['server.suspend']);
});

test('a running server is stopped by the panel, and nobody starts it before the suspension ends', async () => {
  const { id } = await server({ status: 'running', desiredState: 'running' });
  expect((await suspend(id)).status).toBe(200);
  await agent.next('stop_server', ({ serverId }) => serverId === id);
  agent.report(id, 'stopping');
  agent.report(id, 'stopped', { exitCode: 0 });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
  expect(await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).toMatchObject({
    status: 423,
    body: { code: 'server.suspended' },
  });
  expect(shown(id)).toEqual(['running → suspended']);
  const [, stop] = await serverAudit(panel, id);
  expect(stop).toMatchObject({ action: 'server.stop', userId: null, username: null });
  await unsuspend(id);
  expect((await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).status).toBe(200);
});

test('a server that is suspended between its start and the word of its agent is stopped then', async () => {
  const { id } = await server();
  await panel.post(`/api/servers/${id}/start`, undefined, owner.token);
  expect((await suspend(id)).status).toBe(200);
  agent.report(id, 'starting');
  await agent.next('stop_server', ({ serverId }) => serverId === id);
  agent.report(id, 'stopped');
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
});

test('a restart under way ends in a stop', async () => {
  const { id } = await server({ status: 'running', desiredState: 'running' });
  await panel.post(`/api/servers/${id}/restart`, undefined, owner.token);
  expect((await suspend(id)).status).toBe(200);
  for (const state of ['stopping', 'stopped', 'starting', 'running']) agent.report(id, state);
  await agent.next('stop_server', ({ serverId }) => serverId === id);
});

test('an installation under way ends, and nothing is started after it', async () => {
  const { id } = await server({ installedAt: null });
  await panel.post(`/api/servers/${id}/install`, undefined, owner.token);
  expect((await suspend(id)).status).toBe(200);
  agent.report(id, 'stopped');
  await allHandled();
  const row = await storedServer(panel, id);
  expect(row).toMatchObject({ status: 'stopped', desiredState: 'stopped', activeAction: null });
  expect(row.installedAt).not.toBeNull();
});

test('whichever of a start and a suspension comes first, the server ends up stopped', async () => {
  const other = await startPanel({ database: panel.database });
  for (let round = 0; round < 8; round += 1) {
    const { id } = await server();
    // The panel that suspends does not have the agent: the one that has it sees to the stop.
    const [started, suspended] = await Promise.all([
      panel.post(`/api/servers/${id}/start`, undefined, owner.token),
      other.post(`/api/servers/${id}/suspend`, undefined, operator.token),
    ]);
    expect(suspended.status).toBe(200);
    expect([200, 423]).toContain(started.status);
    if (started.status === 200) {
      await agent.next('start_server', ({ serverId }) => serverId === id);
      agent.report(id, 'starting');
      await agent.next('stop_server', ({ serverId }) => serverId === id);
      agent.report(id, 'stopped');
    }
    await allHandled();
    expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', activeAction: null });
  }
  await other.close();
});

describe('by a panel that does not have the agent', () => {
  let other: Panel;

  beforeAll(async () => {
    other = await startPanel({ database: panel.database });
  });

  afterAll(() => other.close());

  test('the server is stopped by the one that has it, within two seconds', async () => {
    const { id } = await server({ status: 'running', desiredState: 'running' });
    const startedAt = performance.now();
    expect((await other.post(`/api/servers/${id}/suspend`, undefined, operator.token)).status).toBe(200);
    await agent.next('stop_server', ({ serverId }) => serverId === id);
    expect(performance.now() - startedAt).toBeLessThan(2000);
    agent.report(id, 'stopped');
  });

  test('a suspension that is lifted at once has stopped the server, too', async () => {
    const { id } = await server();
    for (const suspendedForMs of [1000, 0]) {
      const data = { status: 'running', desiredState: 'running' } as const;
      await panel.context.database.prisma.server.update({ where: { id }, data });
      await other.post(`/api/servers/${id}/suspend`, undefined, operator.token);
      await delay(suspendedForMs);
      const answer = await other.post(`/api/servers/${id}/unsuspend`, undefined, operator.token);
      expect(answer.body.data.status).toBe('stopped');
      await agent.next('stop_server', ({ serverId }) => serverId === id);
      agent.report(id, 'stopped');
      await allHandled();
      expect(await storedServer(panel, id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
    }
  });

  test('an agent that refuses to stop it is not asked without end', async () => {
    const { id } = await server({ status: 'running', desiredState: 'running' });
    await other.post(`/api/servers/${id}/suspend`, undefined, operator.token);
    const { commandId } = await agent.next('stop_server', ({ serverId }) => serverId === id);
    agent.send({ type: 'command_result', commandId, ok: false, message: 'it does not listen' });
    await allHandled();
    await delay(2000);
    const asked = agent.received.filter((message) => 'serverId' in message && message.serverId === id);
    expect(asked).toEqual([]);
  });
});

test('a server whose node is away is stopped when the node is back, and stays so afterwards', async () => {
  const away = await panel.createNode({ maxCpuCores: 1000 });
  const made = await server({ nodeId: away.id, status: 'running', desiredState: 'running' });
  expect(await suspend(made.id)).toMatchObject({ status: 200 });
  const back = await panel.connectAgent(away, CAPABLE);
  back.send({
    type: 'inventory',
    servers: [{ serverId: made.id, serverUuid: made.uuid, state: 'running' }],
  });
  await back.next('stop_server', ({ serverId }) => serverId === made.id);
  back.report(made.id, 'stopped');
  await allHandled(back);
  expect((await unsuspend(made.id)).body.data.status).toBe('stopped');
  expect(await storedServer(panel, made.id)).toMatchObject({ status: 'stopped', desiredState: 'stopped' });
});

test('the next start of a crashed server by its agent is called off', async () => {
  const { id } = await server({ status: 'crashed', desiredState: 'running' });
  expect((await suspend(id)).status).toBe(200);
  await agent.next('stop_server', ({ serverId }) => serverId === id);
  const documented = await nodeWithAgent();
  const other = await server({ nodeId: documented.node.id, status: 'crashed', desiredState: 'running' });
  expect((await suspend(other.id)).status).toBe(200);
  expect(await storedServer(panel, other.id)).toMatchObject({ status: 'crashed', desiredState: 'stopped' });
  expect((await unsuspend(other.id)).body.data.status).toBe('stopped');
  expect(await storedServer(panel, other.id)).toMatchObject({ status: 'stopped' });
});

test('an agent that starts a suspended server by itself is told to stop it', async () => {
  const { id } = await server({ status: 'crashed' });
  await suspend(id);
  agent.report(id, 'starting');
  await agent.next('stop_server', ({ serverId }) => serverId === id);
  expect(await storedServer(panel, id)).toMatchObject({ desiredState: 'stopped' });
});

test('only who may suspend deletes a suspended server', async () => {
  const { id } = await server({ installedAt: null });
  const remover = await panel.createUser(['server.suspend', 'server.delete']);
  await suspend(id);
  expect(await panel.delete(`/api/servers/${id}`, owner.token)).toMatchObject({ status: 423 });
  const answer = panel.delete(`/api/servers/${id}`, remover.token);
  const { commandId } = await agent.next('delete_server', ({ serverId }) => serverId === id);
  agent.send({ type: 'command_result', commandId, ok: true });
  expect(await answer).toMatchObject({ status: 200 });
});
