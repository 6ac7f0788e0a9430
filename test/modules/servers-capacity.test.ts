import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { assignPorts } from '../../src/modules/servers/placing/ports.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let creator: TestUser;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  creator = await panel.createUser(['server.create']);
  templateId = (await panel.createTemplate()).id;
});

afterAll(() => panel.close());

function input(nodeId: string, fields: Record<string, unknown> = {}) {
  return {
    name: `server ${randomBytes(4).toString('hex')}`,
    templateId,
    nodeId,
    allocatedMemoryMb: 1000,
    allocatedCpuCores: 1,
    allocatedDiskMb: 1000,
    primaryPort: 25_565,
    ...fields,
  };
}

test('of 50 creates at once with room for one, exactly one succeeds', async () => {
  const node = await panel.createNode({ maxMemoryMb: 1500, maxCpuCores: 100 });
  const answers = await Promise.all(
    Array.from({ length: 50 }, () => panel.post('/api/servers', input(node.id), creator.token)),
  );
  const created = answers.filter(({ status }) => status === 201);
  const refused = answers.filter(({ body }) => body.code === 'node.insufficient_resources');
  expect([created.length, refused.length]).toEqual([1, 49]);
  expect(refused[0]?.body.message).toMatch(/^Node does not have enough resources/);
});

test('two panels on one database never oversell a node together', async () => {
  const node = await panel.createNode({ maxMemoryMb: 3000, maxCpuCores: 100 });
  const other = await startPanel({ database: panel.database });
  const answers = await Promise.all(
    Array.from({ length: 40 }, (_, index) =>
      (index % 2 ? other : panel).post('/api/servers', input(node.id), creator.token),
    ),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(3);
  expect(answers.filter(({ status }) => status === 400)).toHaveLength(37);
  const ports = await panel.context.database.prisma.allocation.findMany({ where: { nodeId: node.id } });
  expect(ports.map(({ hostPort }) => hostPort).sort()).toEqual([25_565, 25_566, 25_567]);
  await other.close();
});

test('of 20 creates that want one port, exactly one gets it', async () => {
  const node = await panel.createNode({ maxMemoryMb: 100_000, maxCpuCores: 100 });
  const wanted = input(node.id, { portBindings: { 25565: 30_000 } });
  const answers = await Promise.all(
    Array.from({ length: 20 }, () => panel.post('/api/servers', wanted, creator.token)),
  );
  expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
  expect(
    answers.filter(({ status, body }) => status === 409 && body.code === 'allocation.port_taken'),
  ).toHaveLength(19);
});

test.each([
  ['memory', { allocatedMemoryMb: 2001 }],
  ['CPU', { allocatedCpuCores: 2.01 }],
  ['disk', { allocatedDiskMb: 5001 }],
])('more %s than the node has is 400', async (_what, fields) => {
  const node = await panel.createNode({ maxMemoryMb: 2000, maxCpuCores: 2, maxDiskMb: 5000 });
  expect(await panel.post('/api/servers', input(node.id, fields), creator.token)).toMatchObject({
    status: 400,
    body: { code: 'node.insufficient_resources' },
  });
});

test('a node never gives away less than its servers hold, with what it gives away beyond its own', async () => {
  const administrator = await panel.createAdministrator();
  const node = await panel.createNode({
    maxMemoryMb: 1000,
    maxCpuCores: 1,
    maxDiskMb: 1000,
    memoryOverallocatePercent: 50,
    cpuOverallocatePercent: 50,
    diskOverallocatePercent: 50,
  });
  const most = { allocatedMemoryMb: 1500, allocatedCpuCores: 1.5, allocatedDiskMb: 1500 };
  expect((await panel.post('/api/servers', input(node.id, most), creator.token)).status).toBe(201);
  const url = `/api/nodes/${node.id}`;
  for (const limits of [
    { memoryOverallocatePercent: 49 },
    { cpuOverallocatePercent: 49 },
    { diskOverallocatePercent: 0 },
    { maxMemoryMb: 999 },
    { maxDiskMb: 1499, diskOverallocatePercent: 0 },
  ]) {
    const answer = await panel.put(url, limits, administrator.token);
    expect([limits, answer.status, answer.body.code]).toEqual([limits, 409, 'node.below_allocated']);
  }
  for (const limits of [
    { maxMemoryMb: 1500, memoryOverallocatePercent: 0 },
    { maxDiskMb: null, diskOverallocatePercent: 0 },
    { cpuOverallocatePercent: 51 },
  ]) {
    expect([limits, (await panel.put(url, limits, administrator.token)).status]).toEqual([limits, 200]);
  }
});

test('a hundred times a hundredth of a core is one core', async () => {
  const node = await panel.createNode({ maxMemoryMb: 100_000, maxCpuCores: 0.3 });
  for (let count = 0; count < 3; count += 1) {
    const answer = await panel.post(
      '/api/servers',
      input(node.id, { allocatedCpuCores: 0.1 }),
      creator.token,
    );
    expect(answer.status).toBe(201);
  }
});

test('a port outside of the range of the node is 400', async () => {
  const node = await panel.createNode({ portRangeStart: 30_000, portRangeEnd: 30_001 });
  const outside = input(node.id, { portBindings: { 25565: 29_999 } });
  expect(await panel.post('/api/servers', outside, creator.token)).toMatchObject({
    status: 400,
    body: { code: 'allocation.port_out_of_range' },
  });
  const ports: unknown[] = [];
  for (let count = 0; count < 2; count += 1) {
    const answer = await panel.post('/api/servers', input(node.id), creator.token);
    ports.push(answer.body.data.portBindings);
  }
  expect(ports).toEqual([{ 25565: 30_000 }, { 25565: 30_001 }]);
  expect(await panel.post('/api/servers', input(node.id), creator.token)).toMatchObject({
    status: 400,
    body: { code: 'node.insufficient_resources' },
  });
});

interface PortCase {
  primaryPort: number;
  portBindings?: Record<string, number>;
  templatePorts?: number[];
}

const RANGE = { portRangeStart: 1000, portRangeEnd: 1009 };

test.each<[string, number[], PortCase, Record<string, number>]>([
  ['the same port when it is free', [], { primaryPort: 1005 }, { 1005: 1005 }],
  ['the next free one when it is not', [1005, 1006], { primaryPort: 1005 }, { 1005: 1007 }],
  ['one from the start when those above are taken', [1008, 1009], { primaryPort: 1008 }, { 1008: 1000 }],
  ['one in the range for a port outside of it', [], { primaryPort: 80 }, { 80: 1000 }],
  [
    'the ports of the template beside the primary',
    [],
    { primaryPort: 1001, templatePorts: [1001, 1002] },
    { 1001: 1001, 1002: 1002 },
  ],
  [
    'no port for the one of the template that the primary stands for',
    [],
    { primaryPort: 1005, templatePorts: [1001, 1002] },
    { 1005: 1005, 1002: 1002 },
  ],
  [
    'what the caller says, and the primary besides',
    [],
    { primaryPort: 1001, portBindings: { 2000: 1001 }, templatePorts: [1001, 1003] },
    { 1001: 1002, 2000: 1001 },
  ],
])('a server gets %s', (_what, taken, { templatePorts, ...request }, expected) => {
  const ports = assignPorts(RANGE, new Set(taken), {
    networkMode: 'bridge',
    portBindings: undefined,
    templatePorts: (templatePorts ?? []).map((internal) => ({ internal })),
    ...request,
  });
  expect(Object.fromEntries(ports.map(({ containerPort, hostPort }) => [containerPort, hostPort]))).toEqual(
    expected,
  );
  expect(ports.filter(({ isPrimary }) => isPrimary).map(({ containerPort }) => containerPort)).toEqual([
    request.primaryPort,
  ]);
});
