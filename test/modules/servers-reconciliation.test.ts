import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const CAPABLE = { capabilities: ['command-results', 'inventory', 'crash-policy'], runtime: 'docker' };
const HELD = { activeCommandId: 'from-before', activeActionExpiresAt: new Date(Date.now() + 60_000) };

let panel: PanelWithDoors;
let owner: TestUser;
let templateId: string;
let node: { id: string; secret: string };
const lines: string[] = [];

beforeAll(async () => {
  panel = await startPanelWithDoors({ log: { level: 'warn', write: (line) => lines.push(line) } });
  owner = await panel.createUser();
  templateId = (await panel.createTemplate()).id;
});

beforeEach(async () => {
  node = await panel.createNode({ maxCpuCores: 1000 });
});

afterAll(() => panel.close());

function connect(): Promise<DocumentedAgent> {
  return panel.connectAgent(node, CAPABLE);
}

async function takeInventory(agent: DocumentedAgent, servers: unknown[]): Promise<void> {
  agent.send({ type: 'inventory', servers });
  agent.send({ type: 'are_you_done' });
  await agent.next('error', ({ code }) => code === 'gateway.type_unknown');
}

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, ...fields });
}

function entry(made: { id: string; uuid: string }, state: string, fields: Record<string, unknown> = {}) {
  return { serverId: made.id, serverUuid: made.uuid, state, ...fields };
}

test.each([
  // wanted, known → reported: stored, and what is asked for again
  ['running', { status: 'running' }, 'running', {}, { status: 'running' }, null],
  [
    'running',
    { status: 'running' },
    'crashed',
    { exitCode: 1 },
    { status: 'crashed', desiredState: 'running' },
    null,
  ],
  [
    'running',
    { status: 'running' },
    'stopped',
    { exitCode: 0 },
    { status: 'stopped', desiredState: 'stopped' },
    null,
  ],
  [
    'running',
    { status: 'stopped' },
    'stopped',
    {},
    { status: 'starting', desiredState: 'running' },
    'start_server',
  ],
  [
    'running',
    { status: 'starting', activeAction: 'start', ...HELD },
    'stopped',
    { exitCode: 0 },
    { status: 'starting', activeAction: 'start' },
    'start_server',
  ],
  [
    'running',
    { status: 'stopping', activeAction: 'restart', ...HELD },
    'running',
    {},
    { status: 'running', activeAction: null },
    null,
  ],
  [
    'stopped',
    { status: 'stopped' },
    'running',
    {},
    { status: 'stopping', desiredState: 'stopped' },
    'stop_server',
  ],
  [
    'stopped',
    { status: 'stopping', activeAction: 'stop', ...HELD },
    'running',
    {},
    { status: 'stopping', activeAction: 'stop' },
    'stop_server',
  ],
  [
    'stopped',
    { status: 'stopping', activeAction: 'kill', ...HELD },
    'running',
    {},
    { status: 'stopping', activeAction: 'kill' },
    'kill_server',
  ],
  [
    'stopped',
    { status: 'stopping', activeAction: 'stop', ...HELD },
    'stopping',
    {},
    { activeAction: 'stop' },
    null,
  ],
  [
    'stopped',
    { status: 'installing', activeAction: 'install', installedAt: null, ...HELD },
    'stopped',
    { reason: 'interrupted' },
    { status: 'stopped', installedAt: null, statusReason: 'interrupted', activeAction: null },
    null,
  ],
  [
    'running',
    { status: 'running', suspendedAt: new Date() },
    'running',
    {},
    { status: 'stopping', desiredState: 'stopped' },
    'stop_server',
  ],
])(
  'wanted %s, known as %o, reported %s %o → %o, sends %s',
  async (desiredState, known, state, told, stored, sends) => {
    const made = await server({ desiredState, ...known });
    const agent = await connect();
    await takeInventory(agent, [entry(made, state, told)]);
    expect(await storedServer(panel, made.id)).toMatchObject(stored);
    expect(agent.received.map(({ type }) => type)).toEqual(sends ? [sends] : []);
    await agent.disconnect();
  },
);

test.each([
  ['running', { status: 'crashed', desiredState: 'stopped' }],
  ['starting', { status: 'crashed', desiredState: 'stopped' }],
  ['stopping', { status: 'stopped' }],
  ['installing', { status: 'stopped' }],
  ['stopped', { status: 'stopped', statusReason: null }],
] as const)('a server that was %s and that its node does not list any more → %o', async (status, stored) => {
  const made = await server({ status, desiredState: status === 'running' ? 'running' : 'stopped' });
  const agent = await connect();
  await takeInventory(agent, []);
  const row = await storedServer(panel, made.id);
  expect(row).toMatchObject(stored);
  if (status !== 'stopped') expect(row.statusReason).toMatch(/no longer has|install the server again/);
  expect(agent.received).toEqual([]);
  await agent.disconnect();
});

test("another node's server in an inventory is left alone and counted", async () => {
  const other = await panel.createNode();
  const made = await insertServer(panel, {
    nodeId: other.id,
    ownerId: owner.id,
    templateId,
    status: 'running',
  });
  const agent = await connect();
  lines.length = 0;
  await takeInventory(agent, [entry(made, 'stopped')]);
  expect(await storedServer(panel, made.id)).toMatchObject({ status: 'running' });
  expect(agent.received).toEqual([]);
  expect(lines.join('')).toContain('a server of another node in the inventory');
  await agent.disconnect();
});

test('a command that was handed over since the handshake is not given twice', async () => {
  const made = await server();
  const agent = await connect();
  const answer = await panel.post(`/api/servers/${made.id}/start`, undefined, owner.token);
  expect(answer.status).toBe(200);
  await takeInventory(agent, [entry(made, 'stopped')]);
  expect(agent.received.map(({ type }) => type)).toEqual(['start_server']);
  expect(await storedServer(panel, made.id)).toMatchObject({ status: 'starting', activeAction: 'start' });
  await agent.disconnect();
});
