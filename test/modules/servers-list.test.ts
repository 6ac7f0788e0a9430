import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let administrator: TestUser;
let owner: TestUser;
let node: Awaited<ReturnType<Panel['createNode']>>;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  owner = await panel.createUser();
  node = await panel.createNode();
  templateId = (await panel.createTemplate()).id;
  for (const [name, fields] of Object.entries(SERVERS)) {
    await insertServer(panel, { nodeId: node.id, ownerId: owner.id, templateId, name, ...fields });
  }
});

afterAll(() => panel.close());

const day = (number: number) => new Date(`2026-01-0${number}T00:00:00Z`);

/** In the order in which they were created. */
const SERVERS: Record<string, Record<string, unknown>> = {
  gamma: {
    createdAt: day(1),
    updatedAt: day(9),
    status: 'running',
    cpuUsage: 20,
    memoryUsageMb: 300,
    allocatedMemoryMb: 100,
  },
  Alpha: {
    createdAt: day(2),
    updatedAt: day(8),
    status: 'running',
    cpuUsage: 90,
    memoryUsageMb: 200,
    allocatedMemoryMb: 300,
    description: 'a 100% lobby',
  },
  // What it used when it was last up does not count.
  beta: {
    createdAt: day(3),
    updatedAt: day(7),
    status: 'stopped',
    cpuUsage: 95,
    memoryUsageMb: 900,
    allocatedMemoryMb: 200,
    description: 'under_score',
  },
};

async function names(query: string, token = administrator.token): Promise<string[]> {
  const answer = await panel.get(`/api/servers${query}`, token);
  expect(answer, answer.text).toMatchObject({ status: 200 });
  return answer.body.data.map(({ name }: { name: string }) => name);
}

describe('sort', () => {
  test.each([
    ['name', ['Alpha', 'beta', 'gamma']],
    ['createdAt', ['gamma', 'Alpha', 'beta']],
    ['updatedAt', ['beta', 'Alpha', 'gamma']],
    ['allocatedMemoryMb', ['gamma', 'beta', 'Alpha']],
    ['cpuUsage', ['beta', 'gamma', 'Alpha']],
    ['memoryUsageMb', ['beta', 'Alpha', 'gamma']],
  ])('by %s, and the other way round', async (sort, expected) => {
    for (const token of [administrator.token, owner.token]) {
      expect(await names(`?sort=${sort}`, token)).toEqual(expected);
      expect(await names(`?sort=${sort}&order=desc`, token)).toEqual(expected.toReversed());
    }
  });

  test('by status, those with the same by id', async () => {
    const shown = await names('?sort=status');
    expect(shown.at(-1)).toBe('beta');
    expect((await names('?sort=status&order=desc')).at(0)).toBe('beta');
  });

  test('goes on from page to page', async () => {
    const pages = [];
    for (const page of [1, 2, 3, 4]) pages.push(await names(`?sort=name&limit=1&page=${page}`));
    expect(pages).toEqual([['Alpha'], ['beta'], ['gamma'], []]);
  });

  test.each(['?sort=environment', '?sort=', '?order=up', `?search=${'x'.repeat(101)}`, '?search=%00'])(
    'with %s is 400',
    async (query) => {
      expect((await panel.get(`/api/servers${query}`, administrator.token)).status).toBe(400);
    },
  );
});

describe('search', () => {
  test.each([
    ['alph', ['Alpha']],
    ['LOBBY', ['Alpha']],
    ['%', ['Alpha']],
    ['_', ['beta']],
    ['100%25', []],
    ['\\', []],
    ['nothing of the kind', []],
    ['', ['gamma', 'Alpha', 'beta']],
  ])('for "%s" finds %j', async (text, expected) => {
    expect(await names(`?search=${encodeURIComponent(text)}`)).toEqual(expected);
  });

  test('finds ids and UUIDs, also parts of them', async () => {
    const [first] = (await panel.get('/api/servers?sort=name', administrator.token)).body.data;
    expect(await names(`?search=${first.id}`)).toEqual(['Alpha']);
    expect(await names(`?search=${first.uuid.slice(0, 13).toUpperCase()}`)).toEqual(['Alpha']);
  });
});

describe('filters', () => {
  test('by owner, template, location, node and status, and all at once', async () => {
    const elsewhere = await panel.createNode();
    const other = await panel.createUser();
    const template = await panel.createTemplate();
    await insertServer(panel, {
      nodeId: elsewhere.id,
      ownerId: other.id,
      templateId: template.id,
      name: 'other',
    });
    const own = ['gamma', 'Alpha', 'beta'];
    expect(await names(`?ownerId=${other.id}`)).toEqual(['other']);
    expect(await names(`?ownerId=${owner.id}`)).toEqual(own);
    expect(await names(`?templateId=${template.id}`)).toEqual(['other']);
    expect(await names(`?locationId=${elsewhere.location.id}`)).toEqual(['other']);
    expect(await names(`?locationId=${node.location.id}`)).toEqual(own);
    expect(await names(`?nodeId=${node.id}&status=running&search=a&ownerId=${owner.id}&sort=name`)).toEqual([
      'Alpha',
      'gamma',
    ]);
    expect(await names('?ownerId=nobody')).toEqual([]);
    // Filters narrow what one may read; they never widen it.
    expect(await names(`?ownerId=${owner.id}`, other.token)).toEqual([]);
    const { body } = await panel.get(`/api/servers?ownerId=${owner.id}`, other.token);
    expect(body.pagination).toEqual({ page: 1, limit: 20, total: 0, pages: 0 });
  });

  test('who owns a server and is a member of it as well sees it once', async () => {
    const both = await panel.createUser();
    const server = await insertServer(panel, { nodeId: node.id, ownerId: both.id, templateId });
    await panel.context.database.prisma.serverAccess.create({
      data: { serverId: server.id, userId: both.id, permissions: ['*'] },
    });
    const { body } = await panel.get('/api/servers', both.token);
    expect(body).toMatchObject({ data: [{ id: server.id }], pagination: { total: 1 } });
  });
});

describe('an API key', () => {
  async function keyOf(user: TestUser, permissions: string[]): Promise<string> {
    const answer = await panel.post('/api/auth/api-keys', { name: 'a key', permissions }, user.token);
    expect(answer, answer.text).toMatchObject({ status: 201 });
    return answer.body.data.key;
  }

  test('that lets no reading through sees no servers, whoever it belongs to', async () => {
    const { id } = (await panel.get('/api/servers', owner.token)).body.data[0];
    for (const user of [owner, administrator]) {
      const blind = await keyOf(user, ['server.start']);
      const { body } = await panel.get('/api/servers', blind);
      expect(body).toEqual({
        success: true,
        data: [],
        pagination: { page: 1, limit: 20, total: 0, pages: 0 },
      });
      expect(await panel.get(`/api/servers/${id}`, blind)).toMatchObject({
        status: 404,
        body: { code: 'server.not_found' },
      });
      const reading = await keyOf(user, ['server.read']);
      expect((await panel.get(`/api/servers/${id}`, reading)).status).toBe(200);
      expect((await names('', reading)).length).toBeGreaterThan(0);
    }
  });

  test('that may only create is answered what it created', async () => {
    const key = await keyOf(administrator, ['server.create']);
    const answer = await panel.post(
      '/api/servers',
      {
        name: 'made by a key',
        templateId,
        nodeId: node.id,
        allocatedMemoryMb: 16,
        allocatedCpuCores: 0.01,
        allocatedDiskMb: 1,
      },
      key,
    );
    expect(answer).toMatchObject({ status: 201, body: { data: { name: 'made by a key' } } });
    expect((await panel.get(`/api/servers/${answer.body.data.id}`, key)).status).toBe(404);
    await panel.context.database.prisma.server.delete({ where: { id: answer.body.data.id } });
  });
});
