import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOnlineNode, insertPool } from '../helpers/nodes.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let secondPanel: Panel;
let administrator: TestUser;
let creator: TestUser;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  secondPanel = await startPanel({ database: panel.database });
  administrator = await panel.createAdministrator();
  creator = await panel.createUser(['server.create']);
  templateId = (await panel.createTemplate()).id;
});

afterAll(async () => {
  await secondPanel.close();
  await panel.close();
});

function body(fields: Record<string, unknown> = {}) {
  return {
    name: 'a server',
    templateId,
    allocatedMemoryMb: 1000,
    allocatedCpuCores: 1,
    allocatedDiskMb: 1000,
    ...fields,
  };
}

async function create(fields: Record<string, unknown>, door: Panel = panel) {
  return door.post('/api/servers', body(fields), creator.token);
}

function createAtOnce(count: number, fields: Record<string, unknown>) {
  return Promise.all(
    Array.from({ length: count }, (_, index) => create(fields, index % 2 === 0 ? panel : secondPanel)),
  );
}

/** A location with nodes: name → what is special about each. */
async function locationWith(nodes: Record<string, Record<string, unknown>>) {
  const location = await panel.createLocation();
  const ids: Record<string, string> = {};
  for (const [name, fields] of Object.entries(nodes)) {
    const unique = `${name} ${location.id}`;
    const node = await createOnlineNode(panel, {
      locationId: location.id,
      name: unique,
      maxMemoryMb: 4000,
      maxCpuCores: 8,
      ...fields,
    });
    ids[name] = node.id;
  }
  return { id: location.id, ids };
}

/** The node on which a server is created, by its short name. */
async function placed(location: Awaited<ReturnType<typeof locationWith>>, fields = {}): Promise<string> {
  const answer = await create({ locationId: location.id, ...fields });
  expect(answer, answer.text).toMatchObject({ status: 201 });
  const { nodeId } = answer.body.data;
  return Object.entries(location.ids).find(([, id]) => id === nodeId)?.[0] ?? nodeId;
}

/** What `server.no_node` says, with the short names of the nodes. */
async function refusal(location: { id: string }, fields = {}): Promise<string> {
  const answer = await create({ locationId: location.id, ...fields });
  expect(answer, answer.text).toMatchObject({ status: 400, body: { code: 'server.no_node' } });
  return answer.body.message.replaceAll(` ${location.id}`, '');
}

describe('without a nodeId', () => {
  test('the node with the largest share of memory left takes the server', async () => {
    const location = await locationWith({ small: { maxMemoryMb: 4000 }, large: { maxMemoryMb: 10_000 } });
    await insertServer(panel, {
      nodeId: String(location.ids.large),
      ownerId: creator.id,
      templateId,
      allocatedMemoryMb: 5000,
    });
    // 3000 of 4000 would be left on the one, 4000 of 10000 on the other.
    expect(await placed(location)).toBe('small');
    expect(await placed(location, { allocatedMemoryMb: 3500 })).toBe('large');
  });

  test('of two with the same memory the one with more CPU left, and then the one with fewer servers', async () => {
    const byCpu = await locationWith({ alpha: { maxCpuCores: 2 }, beta: { maxCpuCores: 4 } });
    expect(await placed(byCpu)).toBe('beta');
    const byCount = await locationWith({
      alpha: { maxMemoryMb: 8000, maxCpuCores: 8 },
      beta: { maxMemoryMb: 4000, maxCpuCores: 4 },
    });
    const { ids } = byCount;
    const base = { ownerId: creator.id, templateId };
    // With another 1000 MB and core, 3/8 of both would be left on each.
    const held = { ...base, nodeId: String(ids.alpha), allocatedMemoryMb: 2000, allocatedCpuCores: 2 };
    await insertServer(panel, held);
    await insertServer(panel, held);
    await insertServer(panel, {
      ...held,
      nodeId: String(ids.beta),
      allocatedMemoryMb: 1500,
      allocatedCpuCores: 1.5,
    });
    expect(await placed(byCount)).toBe('beta');
  });

  test('nodes that are offline, in maintenance or elsewhere take nothing, however much room they have', async () => {
    const location = await locationWith({
      free: { maxMemoryMb: 2000 },
      offline: { maxMemoryMb: 90_000, columns: { isOnline: false } },
      silent: { maxMemoryMb: 90_000, columns: { lastSeenAt: new Date(Date.now() - 3_600_000) } },
      maintained: { maxMemoryMb: 90_000, columns: { isInMaintenance: true } },
    });
    await locationWith({ elsewhere: { maxMemoryMb: 900_000 } });
    expect(await placed(location)).toBe('free');
  });

  test('what has no room for memory, CPU, disk or ports is passed over', async () => {
    const location = await locationWith({
      memory: { maxMemoryMb: 999 },
      cpu: { maxMemoryMb: 90_000, maxCpuCores: 0.5 },
      disk: { maxMemoryMb: 90_000, maxDiskMb: 999 },
      ports: { maxMemoryMb: 90_000, portRangeStart: 20_000, portRangeEnd: 20_000 },
      fitting: {},
    });
    const first = await create({ nodeId: location.ids.ports });
    expect(first.status).toBe(201);
    expect(await placed(location)).toBe('fitting');
    const taken = { portBindings: { 25565: 30_000 } };
    await placed(location, taken);
    expect(await refusal(location, taken)).toContain(
      'fitting: Port 30000 is in use by another server on this node',
    );
  });

  test('the answer says of each node why it did not take the server', async () => {
    const location = await locationWith({
      alpha: { maxMemoryMb: 90_000, maxCpuCores: 8 },
      beta: { maxMemoryMb: 80_000, columns: { isOnline: false } },
      gamma: { maxMemoryMb: 70_000, columns: { isInMaintenance: true } },
      delta: { maxMemoryMb: 60_000, maxCpuCores: 0.25 },
      epsilon: { maxMemoryMb: 512, maxDiskMb: 100 },
    });
    expect(await refusal(location, { allocatedMemoryMb: 95_000 })).toBe(
      'No node has room for the server: alpha: 90000 MB of memory are left; beta: offline; gamma: in maintenance; ' +
        'delta: 60000 MB of memory are left; epsilon: 512 MB of memory are left.',
    );
    const many = { allocatedMemoryMb: 100, allocatedCpuCores: 9 };
    expect(await refusal(location, many)).toContain('delta: 0.25 CPU cores are left; epsilon: 8 CPU');
  });

  test('no more than twenty nodes are named', async () => {
    const location = await locationWith({ first: {} });
    const first = await panel.context.database.prisma.node.findUniqueOrThrow({
      where: { id: String(location.ids.first) },
    });
    const { id: _id, ...columns } = first;
    await panel.context.database.prisma.node.createMany({
      data: Array.from({ length: 24 }, (_, index) => ({ ...columns, name: `${columns.name} ${index}` })),
    });
    const message = await refusal(location, { allocatedMemoryMb: 5000 });
    expect(message.match(/MB of memory are left/g)).toHaveLength(20);
    expect(message).toMatch(/; and 5 more\.$/);
  });

  test('a location without nodes is 400 and says so, one that does not exist 404', async () => {
    const empty = await panel.createLocation();
    expect(await refusal(empty)).toBe('No node has room for the server: there is no node in this location.');
    expect(await create({ locationId: 'nowhere' })).toMatchObject({
      status: 404,
      body: { code: 'location.not_found' },
    });
  });

  test('a network is looked for on every node', async () => {
    const location = await locationWith({
      poor: { maxMemoryMb: 90_000 },
      plain: { maxMemoryMb: 80_000, columns: { runtime: 'process' } },
      full: { maxMemoryMb: 70_000 },
      rich: {},
    });
    const { ids } = location;
    await insertPool(panel, String(ids.plain));
    // The one address of this pool is the gateway's.
    await insertPool(panel, String(ids.full), { startIp: '192.0.2.1', endIp: '192.0.2.1' });
    await insertPool(panel, String(ids.rich));
    expect(await placed(location, { networkMode: 'players' })).toBe('rich');
    const beyond = await refusal(location, { networkMode: 'players', primaryIp: '198.51.100.1' });
    expect(beyond).toContain('poor: it has no network "players"');
    expect(beyond).toContain('plain: its agent runs servers as plain processes');
    expect(beyond).toContain('rich: The pool "players" does not give 198.51.100.1 away');
  });
});

describe('at once', () => {
  test('of 50 creates over two panels with room for one anywhere, exactly one succeeds', async () => {
    const location = await locationWith({ alpha: { maxMemoryMb: 1500 }, beta: { maxMemoryMb: 900 } });
    const answers = await createAtOnce(50, { locationId: location.id });
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'server.no_node')).toHaveLength(49);
  });

  test('who finds the best node full by now gets the next one', async () => {
    const location = await locationWith({
      alpha: { maxMemoryMb: 3500 },
      beta: { maxMemoryMb: 2500 },
      gamma: { maxMemoryMb: 1500 },
    });
    const answers = await createAtOnce(20, { locationId: location.id });
    const nodeIds = answers.filter(({ status }) => status === 201).map(({ body }) => body.data.nodeId);
    const counts = Object.values(location.ids).map((id) => nodeIds.filter((nodeId) => nodeId === id).length);
    expect(counts).toEqual([3, 2, 1]);
  });

  test('of 50 creates on one node over two panels with room for one, exactly one succeeds', async () => {
    const location = await locationWith({ alpha: { maxMemoryMb: 1500 } });
    const answers = await createAtOnce(50, { nodeId: location.ids.alpha });
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
    expect(answers.filter(({ body }) => body.code === 'node.insufficient_resources')).toHaveLength(49);
  });
});

describe('with a nodeId', () => {
  test('a node in maintenance is 409, one that is offline takes the reservation', async () => {
    const { ids } = await locationWith({
      maintained: { columns: { isInMaintenance: true } },
      offline: { columns: { isOnline: false } },
    });
    expect(await create({ nodeId: ids.maintained })).toMatchObject({
      status: 409,
      body: { code: 'node.in_maintenance' },
    });
    expect(await create({ nodeId: ids.offline })).toMatchObject({ status: 201 });
  });

  test.each([
    ['memory', { memoryOverallocatePercent: 50 }, { allocatedMemoryMb: 1500 }, { allocatedMemoryMb: 1501 }],
    ['CPU', { cpuOverallocatePercent: 10 }, { allocatedCpuCores: 1.1 }, { allocatedCpuCores: 1.11 }],
    ['disk', { diskOverallocatePercent: 200 }, { allocatedDiskMb: 3000 }, { allocatedDiskMb: 3001 }],
  ])(
    'so many percent more %s than the node has can be given away, and no more',
    async (_what, columns, most, more) => {
      const { ids } = await locationWith({
        alpha: { maxMemoryMb: 1000, maxCpuCores: 1, maxDiskMb: 1000, columns },
      });
      const least = { nodeId: ids.alpha, allocatedMemoryMb: 16, allocatedCpuCores: 0.01, allocatedDiskMb: 1 };
      expect(await create({ ...least, ...more })).toMatchObject({
        status: 400,
        body: { code: 'node.insufficient_resources' },
      });
      expect(await create({ ...least, ...most })).toMatchObject({ status: 201 });
      expect(await create({ ...least, ...most })).toMatchObject({ status: 400 });
    },
  );
});

describe('the owner', () => {
  test('who is disabled gets no servers: 409', async () => {
    const { ids } = await locationWith({ alpha: {} });
    const disabled = await panel.createUser();
    await panel.context.database.prisma.user.update({
      where: { id: disabled.id },
      data: { disabledAt: new Date() },
    });
    const wanted = body({ nodeId: ids.alpha, ownerId: disabled.id });
    expect(await panel.post('/api/servers', wanted, creator.token)).toMatchObject({ status: 403 });
    expect(await panel.post('/api/servers', wanted, administrator.token)).toMatchObject({
      status: 409,
      body: { code: 'user.disabled' },
    });
  });
});

describe('the audit log', () => {
  test('has one row for a server that was created, and none for one that was not', async () => {
    const location = await locationWith({ alpha: { maxMemoryMb: 1500 } });
    const { prisma } = panel.context.database;
    const before = await prisma.auditLog.count({ where: { action: 'server.create' } });
    const answer = await create({ locationId: location.id, name: 'the audited one' });
    expect(await create({ locationId: location.id })).toMatchObject({ status: 400 });
    const { id } = answer.body.data;
    const rows = await prisma.auditLog.findMany({ where: { serverId: id } });
    expect(rows).toMatchObject([
      {
        action: 'server.create',
        resourceType: 'server',
        resourceId: id,
        userId: creator.id,
        username: creator.username,
        metadata: {
          serverName: 'the audited one',
          ownerName: creator.username,
          nodeId: location.ids.alpha,
          allocatedMemoryMb: 1000,
        },
      },
    ]);
    expect(await prisma.auditLog.count({ where: { action: 'server.create' } })).toBe(before + 1);
  });
});
