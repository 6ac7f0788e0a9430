import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { auditedActions, serverAudit } from '../helpers/audit.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'inventory', 'crash-policy', 'disk-limits'] };
const REASON =
  'The server was stopped: its files take 5.2 GB, its disk limit is 5.0 GB. Delete files or raise the limit.';
const OVER = { reason: REASON, message: REASON, cause: 'disk_limit' };
const EXCEEDED = 'server.disk_limit_exceeded';

let panel: PanelWithDoors;
let owner: TestUser;
let administrator: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  administrator = await panel.createAdministrator();
  templateId = (await panel.createTemplate()).id;
});

beforeEach(async () => {
  node = await panel.createNode({ maxCpuCores: 1000 });
  agent = await panel.connectAgent(node, CAPABLE);
});

afterAll(() => panel.close());

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

/** The panel handles what an agent says in order: the answer to nonsense means that all before is done. */
async function allHandled(): Promise<void> {
  agent.send({ type: 'are_you_done' });
  await agent.next('error', ({ code }) => code === 'gateway.type_unknown');
}

test('a server that its agent stops for its disk limit: the reason is in the row, the activity tells the owner once', async () => {
  const { id } = await server({ status: 'running', desiredState: 'running' });
  agent.report(id, 'stopping', OVER);
  agent.report(id, 'stopping', OVER);
  agent.report(id, 'stopped', { ...OVER, exitCode: 0 });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    desiredState: 'stopped',
    statusReason: REASON,
  });
  const entries = await serverAudit(panel, id);
  expect(entries).toMatchObject([
    { action: EXCEEDED, userId: null, metadata: { serverName: 'a server', reason: REASON } },
  ]);
  const activity = await panel.get(`/api/servers/${id}/activity`, owner.token);
  expect(JSON.stringify(activity.body)).toContain(EXCEEDED);
});

test('an ordinary stop, and a reason without the cause, is no such entry', async () => {
  const { id } = await server({ status: 'running', desiredState: 'running' });
  agent.report(id, 'stopping', { reason: REASON });
  agent.report(id, 'stopped', { reason: REASON, exitCode: 0 });
  await allHandled();
  expect(await auditedActions(panel, id)).toEqual([]);
});

test('a start that is refused: the user is told why, and may try again', async () => {
  const { id } = await server({ status: 'stopped', statusReason: REASON });
  expect((await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).status).toBe(200);
  const { commandId } = await agent.next('start_server', ({ serverId }) => serverId === id);
  const message = REASON.replace('was stopped', 'is not started');
  agent.report(id, 'stopped', { ...OVER, reason: message, message });
  agent.send({ type: 'command_result', commandId, ok: false, code: EXCEEDED, message });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    desiredState: 'stopped',
    statusReason: message,
    activeAction: null,
  });
  expect(await auditedActions(panel, id)).toEqual(['server.start']);
  expect((await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).status).toBe(200);
});

test('one that was stopped while its node was away is not started when the node is back, and the owner is told', async () => {
  const { id, uuid } = await server({ status: 'running', desiredState: 'running' });
  const entry = { serverId: id, serverUuid: uuid, state: 'stopped', reason: REASON, cause: 'disk_limit' };
  agent.send({ type: 'inventory', servers: [entry] });
  await allHandled();
  expect(await storedServer(panel, id)).toMatchObject({
    status: 'stopped',
    desiredState: 'stopped',
    statusReason: REASON,
  });
  expect(agent.received.map(({ type }) => type)).not.toContain('start_server');
  expect(await auditedActions(panel, id)).toEqual([EXCEEDED]);
});

test('an agent is told a new limit at once, and only that', async () => {
  const { id, uuid } = await server({ status: 'stopped' });
  const change = (body: object) => panel.put(`/api/servers/${id}`, body, administrator.token);
  expect((await change({ allocatedMemoryMb: 600 })).status).toBe(200);
  expect((await change({ allocatedDiskMb: 1024 })).status).toBe(200);
  expect((await change({ allocatedDiskMb: 2048 })).status).toBe(200);
  const told = await agent.next('disk_limit', ({ serverId }) => serverId === id);
  expect(told).toEqual({ type: 'disk_limit', serverId: id, serverUuid: uuid, diskMb: 2048 });
  await allHandled();
  expect(agent.received.filter(({ type }) => type === 'disk_limit')).toEqual([]);
});

test('a documented agent is not told', async () => {
  const plain = await panel.createNode();
  const documented = await panel.connectAgent(plain);
  const { id } = await server({ nodeId: plain.id, status: 'stopped' });
  const changed = await panel.put(`/api/servers/${id}`, { allocatedDiskMb: 2048 }, administrator.token);
  expect(changed.status).toBe(200);
  expect((await panel.post(`/api/servers/${id}/start`, undefined, owner.token)).status).toBe(200);
  await documented.next('start_server', ({ allocatedDiskMb }) => allocatedDiskMb === 2048);
  expect(documented.received.map(({ type }) => type)).not.toContain('disk_limit');
});
