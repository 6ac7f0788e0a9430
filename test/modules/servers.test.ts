import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';
import { insertServer } from '../helpers/servers.js';

let panel: Panel;
let administrator: TestUser;
let creator: TestUser;
let stranger: TestUser;
let node: Awaited<ReturnType<Panel['createNode']>>;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  creator = await panel.createUser(['server.create']);
  stranger = await panel.createUser();
  node = await panel.createNode({ maxMemoryMb: 1_000_000, maxCpuCores: 1000 });
  templateId = (await panel.createTemplate()).id;
});

afterAll(() => panel.close());

function body(fields: Record<string, unknown> = {}) {
  return {
    name: 'a server',
    templateId,
    nodeId: node.id,
    allocatedMemoryMb: 64,
    allocatedCpuCores: 0.01,
    allocatedDiskMb: 10,
    primaryPort: 25_565,
    ...fields,
  };
}

async function create(fields: Record<string, unknown> = {}, token = creator.token) {
  return panel.post('/api/servers', body(fields), token);
}

async function created(fields: Record<string, unknown> = {}, token = creator.token) {
  const answer = await create(fields, token);
  expect(answer, answer.text).toMatchObject({ status: 201, body: { success: true } });
  return answer.body.data;
}

const ROUTES = [
  ['GET', '', undefined],
  ['PUT', '', { name: 'another name' }],
  ['DELETE', '', undefined],
  ['POST', '/install', undefined],
  ['POST', '/start', undefined],
  ['POST', '/stop', undefined],
  ['POST', '/restart', undefined],
  ['POST', '/kill', undefined],
] as const;

describe('rights', () => {
  test.each([['GET', '/api/servers'] as const, ['POST', '/api/servers'] as const])(
    '%s %s without a token is 401',
    async (method, url) => {
      expect((await panel.call(method, url)).status).toBe(401);
    },
  );

  test.each(ROUTES)(
    '%s /api/servers/:id%s: 401 without a token, 404 for strangers',
    async (method, path, input) => {
      const server = await insertServer(panel, { nodeId: node.id, ownerId: creator.id, templateId });
      const url = `/api/servers/${server.id}${path}`;
      expect((await panel.call(method, url, input)).status).toBe(401);
      const missing = await panel.call(method, `/api/servers/nosuchserver${path}`, input, stranger.token);
      const hidden = await panel.call(method, url, input, stranger.token);
      expect(missing).toMatchObject({ status: 404, body: { code: 'server.not_found' } });
      expect({ ...hidden.body, requestId: '' }).toEqual({ ...missing.body, requestId: '' });
    },
  );

  test.each(ROUTES.slice(1))(
    '%s /api/servers/:id%s is 403 for a member who may only read',
    async (method, path, input) => {
      const server = await insertServer(panel, { nodeId: node.id, ownerId: creator.id, templateId });
      const member = await panel.createUser();
      await panel.context.database.prisma.serverAccess.create({
        data: { serverId: server.id, userId: member.id, permissions: ['server.read'] },
      });
      const url = `/api/servers/${server.id}`;
      expect((await panel.get(url, member.token)).status).toBe(200);
      expect(await panel.call(method, `${url}${path}`, input, member.token)).toMatchObject({
        status: 403,
        body: { code: 'permission.denied' },
      });
    },
  );

  test.each(ROUTES.slice(1))(
    '%s /api/servers/:id%s on a suspended server is 423',
    async (method, path, input) => {
      const suspendedAt = new Date();
      const server = await insertServer(panel, {
        nodeId: node.id,
        ownerId: creator.id,
        templateId,
        suspendedAt,
      });
      const url = `/api/servers/${server.id}`;
      expect(await panel.call(method, `${url}${path}`, input, creator.token)).toMatchObject({
        status: 423,
        body: { code: 'server.suspended' },
      });
      const { body: shown } = await panel.get(url, creator.token);
      expect(shown.data.status).toBe('suspended');
    },
  );

  test('creating takes server.create', async () => {
    expect(await create({}, stranger.token)).toMatchObject({ status: 403 });
  });

  test('only an administrator creates servers for others', async () => {
    expect(await create({ ownerId: stranger.id })).toMatchObject({ status: 403 });
    const server = await created({ ownerId: stranger.id }, administrator.token);
    expect(server.ownerId).toBe(stranger.id);
    expect((await panel.get(`/api/servers/${server.id}`, stranger.token)).status).toBe(200);
    expect(await create({ ownerId: 'nobody' }, administrator.token)).toMatchObject({
      status: 404,
      body: { code: 'user.not_found' },
    });
    expect((await created({ ownerId: creator.id })).ownerId).toBe(creator.id);
  });
});

describe('answers', () => {
  const SUMMARY = {
    id: 'server123',
    uuid: '8fec71a3-9d19-45f7-8362-900674cde45c',
    name: 'minecraft-lobby',
    description: 'Main lobby server',
    status: 'running',
    allocatedMemoryMb: 4096,
    allocatedCpuCores: 2,
    allocatedDiskMb: 10_240,
    primaryPort: 25_565,
    networkMode: 'bridge',
    containerName: 'catalyst-8fec71a3',
    cpuUsage: 45.2,
    memoryUsageMb: 2048,
    createdAt: '2026-01-24T19:29:23.274Z',
    updatedAt: '2026-01-25T02:29:17.414Z',
  };

  beforeAll(async () => {
    await insertServer(panel, {
      ...SUMMARY,
      nodeId: node.id,
      ownerId: creator.id,
      templateId,
      environment: { EULA: 'TRUE', MEMORY: '4096M', PORT: '25565' },
      containerId: 'docker-container-id',
      networkSent: 1_234_567n,
      networkReceived: 7_654_321n,
      diskUsageMb: 77,
      restartPolicy: 'always',
      desiredState: 'running',
      startedAt: new Date('2026-01-25T01:00:00Z'),
      installedAt: new Date('2026-01-24T20:00:00Z'),
    });
    await panel.context.database.prisma.allocation.create({
      data: {
        nodeId: node.id,
        serverId: 'server123',
        hostPort: 50_000,
        containerPort: 25_565,
        isPrimary: true,
      },
    });
  });

  test('a server in a list has the documented fields, and nothing unknown', async () => {
    const { body: shown } = await panel.get('/api/servers?search=server123', creator.token);
    expect(shown).toEqual({
      success: true,
      data: [{ ...SUMMARY, ownerId: creator.id, nodeId: node.id, templateId, statusStale: true }],
      pagination: { page: 1, limit: 20, total: 1, pages: 1 },
    });
  });

  test('a single server has the documented fields, and nothing unknown', async () => {
    const { body: shown } = await panel.get('/api/servers/server123', creator.token);
    const { name: nodeName } = await panel.context.database.prisma.node.findUniqueOrThrow({
      where: { id: node.id },
    });
    const { name: templateName } = await panel.context.database.prisma.template.findUniqueOrThrow({
      where: { id: templateId },
    });
    expect(shown).toEqual({
      success: true,
      data: {
        ...SUMMARY,
        ownerId: creator.id,
        owner: { id: creator.id, username: creator.username },
        nodeId: node.id,
        node: { id: node.id, name: nodeName, hostname: 'node.example.com' },
        templateId,
        template: { id: templateId, name: templateName, dockerImage: 'debian:bookworm-slim' },
        statusStale: true,
        desiredState: 'running',
        statusReason: null,
        exitCode: null,
        oomKilled: null,
        startedAt: '2026-01-25T01:00:00.000Z',
        installedAt: '2026-01-24T20:00:00.000Z',
        environment: { EULA: 'TRUE', MEMORY: '4096M', PORT: '25565' },
        portBindings: { 25565: 50_000 },
        ipAddress: null,
        dockerImage: null,
        databaseLimit: 5,
        containerId: 'docker-container-id',
        networkSent: 1_234_567,
        networkReceived: 7_654_321,
        diskUsageMb: 77,
        crashCount: 0,
        lastCrashAt: null,
        restartPolicy: 'always',
        maxCrashCount: 5,
        suspendedAt: null,
        suspendedByUserId: null,
        suspensionReason: null,
        deletionRequestedAt: null,
      },
    });
  });
});

describe('image and database limit', () => {
  test('everybody chooses among the images of the template, administrators any', async () => {
    const images = { Java17: 'game:java17' };
    const { id } = await panel.createTemplate({ dockerImage: 'game:java21', images });
    const wanted = { templateId: id };
    expect((await created(wanted)).dockerImage).toBeNull();
    for (const dockerImage of ['game:java17', 'game:java21']) {
      expect((await created({ ...wanted, dockerImage })).dockerImage).toBe(dockerImage);
    }
    const other = { ...wanted, dockerImage: 'registry.example.com/evil:1' };
    const refused = await create(other);
    expect(refused).toMatchObject({ status: 403, body: { code: 'permission.denied' } });
    expect(refused.body.message).toContain('game:java21, game:java17');
    const server = await created({ ...other, ownerId: creator.id }, administrator.token);
    const url = `/api/servers/${server.id}`;
    const kept = { dockerImage: other.dockerImage, name: 'renamed' };
    expect(await panel.put(url, kept, creator.token)).toMatchObject({ status: 200, body: { data: kept } });
    expect(await panel.put(url, { dockerImage: 'evil:2' }, creator.token)).toMatchObject({ status: 403 });
    expect(await panel.put(url, { dockerImage: null }, creator.token)).toMatchObject({
      status: 200,
      body: { data: { dockerImage: null } },
    });
    expect(await panel.put(url, { dockerImage: other.dockerImage }, creator.token)).toMatchObject({
      status: 403,
    });
  });

  test('more databases than five take admin.write or a role with server.update', async () => {
    expect(await create({ databaseLimit: 6 })).toMatchObject({ status: 403 });
    expect((await created({ databaseLimit: 0 })).databaseLimit).toBe(0);
    const server = await created();
    expect(server.databaseLimit).toBe(5);
    const url = `/api/servers/${server.id}`;
    expect(await panel.put(url, { databaseLimit: 6 }, creator.token)).toMatchObject({ status: 403 });
    const support = await panel.createUser(['server.read', 'server.update']);
    expect(await panel.put(url, { databaseLimit: 100 }, support.token)).toMatchObject({
      status: 200,
      body: { data: { databaseLimit: 100 } },
    });
    expect((await created({ databaseLimit: 6 }, administrator.token)).databaseLimit).toBe(6);
  });
});

describe('create', () => {
  test('answers the server as get shows it', async () => {
    const server = await created({
      description: 'Main lobby server',
      portBindings: { 25565: 40_000, 25575: 40_001 },
    });
    expect(server).toMatchObject({
      name: 'a server',
      description: 'Main lobby server',
      ownerId: creator.id,
      owner: { id: creator.id, username: creator.username },
      node: { id: node.id, hostname: 'node.example.com' },
      template: { id: templateId, dockerImage: 'debian:bookworm-slim' },
      status: 'stopped',
      statusStale: true,
      primaryPort: 25_565,
      portBindings: { 25565: 40_000, 25575: 40_001 },
      networkMode: 'bridge',
      environment: {},
      containerName: `catalyst-${server.uuid.slice(0, 8)}`,
      containerId: null,
      cpuUsage: 0,
      memoryUsageMb: 0,
      networkSent: 0,
      crashCount: 0,
      lastCrashAt: null,
      restartPolicy: 'on-failure',
      maxCrashCount: 5,
    });
    const { body: shown } = await panel.get(`/api/servers/${server.id}`, creator.token);
    expect(shown.data).toEqual(server);
  });

  test.each([
    ['an unknown field', { colour: 'blue' }],
    ['no name', { name: undefined }],
    ['an empty name', { name: '   ' }],
    ['memory as text', { allocatedMemoryMb: '4096' }],
    ['too little memory', { allocatedMemoryMb: 15 }],
    ['memory beyond int4', { allocatedMemoryMb: 2 ** 31 }],
    ['no CPU', { allocatedCpuCores: 0 }],
    ['a negative CPU', { allocatedCpuCores: -1 }],
    ['no disk', { allocatedDiskMb: 0 }],
    ['port 0', { primaryPort: 0 }],
    ['port 65536', { primaryPort: 65_536 }],
    ['a container port that is no number', { portBindings: { http: 4000 } }],
    ['container port 70000', { portBindings: { 70000: 4000 } }],
    ['one host port for two', { portBindings: { 25565: 4000, 25566: 4000 } }],
    ['an unknown network mode', { networkMode: 'macvlan0' }],
    ['an environment value that is a number', { environment: { MEMORY: 4 } }],
    ['a NUL in the environment', { environment: { MEMORY: 'a\u0000b' } }],
    ['a location where the node is not', { locationId: 'elsewhere' }],
    ['an unknown restart policy', { restartPolicy: 'sometimes' }],
    ['an image that is none', { dockerImage: '$(reboot)' }],
    ['too many databases', { databaseLimit: 101 }],
    ['an address without a pool', { primaryIp: '192.0.2.2' }],
  ])('with %s is 400', async (_what, fields) => {
    expect(await create(fields)).toMatchObject({
      status: 400,
      body: { statusCode: 400, error: 'Bad Request' },
    });
  });

  test('with a template or a node that does not exist is 404', async () => {
    expect(await create({ templateId: 'nope' })).toMatchObject({
      status: 404,
      body: { code: 'template.not_found' },
    });
    expect(await create({ nodeId: 'nope' })).toMatchObject({ status: 404, body: { code: 'node.not_found' } });
    expect(await create({ locationId: node.location.id })).toMatchObject({ status: 201 });
  });

  test('without the first port of anything is 400', async () => {
    const portless = await panel.createTemplate({ ports: [] });
    expect(await create({ templateId: portless.id, primaryPort: undefined })).toMatchObject({ status: 400 });
    expect((await created({ primaryPort: undefined })).primaryPort).toBe(25_565);
  });

  test('host network takes admin.write', async () => {
    expect(await create({ networkMode: 'host', primaryPort: 41_000 })).toMatchObject({ status: 403 });
    const server = await created({ networkMode: 'host', primaryPort: 41_000 }, administrator.token);
    expect(server).toMatchObject({ networkMode: 'host', portBindings: { 41000: 41_000 } });
    expect(await create({ networkMode: 'host', primaryPort: 41_000 }, administrator.token)).toMatchObject({
      status: 409,
      body: { code: 'allocation.port_taken' },
    });
  });
});

describe('variables', () => {
  test('required ones that nobody gives are named, all of them', async () => {
    const template = await panel.createTemplate({
      environment: { EULA: 'TRUE', MEMORY: '{{MEMORY}}', PORT: '{{PORT}}' },
      requiredVariables: ['MEMORY', 'PORT', 'EULA'],
    });
    expect(await create({ templateId: template.id })).toMatchObject({
      status: 400,
      body: {
        code: 'server.variables_missing',
        error: 'Bad Request',
        message: 'Missing required template variables: MEMORY, PORT',
      },
    });
    expect(await create({ templateId: template.id, environment: { MEMORY: '1G', PORT: '' } })).toMatchObject({
      body: { message: 'Missing required template variables: PORT' },
    });
    const environment = { MEMORY: '1G', PORT: '25565' };
    expect((await created({ templateId: template.id, environment })).environment).toEqual(environment);
  });

  test('a declared default counts as given', async () => {
    const template = await panel.createTemplate({
      requiredVariables: ['VERSION'],
      variables: [
        {
          name: 'VERSION',
          description: '',
          default: '1.20',
          required: true,
          userEditable: true,
          rules: 'string',
        },
      ],
    });
    await created({ templateId: template.id });
  });

  test('names that every JavaScript object has are names like any other', async () => {
    const variable = { description: '', default: null, required: false, userEditable: true };
    const optional = await panel.createTemplate({
      variables: [
        { ...variable, name: 'toString', rules: 'min:2' },
        { ...variable, name: 'valueOf', rules: 'in:a,b' },
      ],
    });
    await created({ templateId: optional.id });
    const needed = await panel.createTemplate({ requiredVariables: ['constructor'] });
    expect(await create({ templateId: needed.id })).toMatchObject({
      status: 400,
      body: { code: 'server.variables_missing' },
    });
    await created({ templateId: needed.id, environment: { constructor: 'x' } });
  });

  test('unknown names are 400 and named', async () => {
    const answer = await create({ environment: { LD_PRELOAD: '/tmp/evil.so', MEMORY: '1G' } });
    expect(answer).toMatchObject({ status: 400, body: { code: 'server.variable_invalid' } });
    expect(answer.body.message).toContain('LD_PRELOAD');
    expect(answer.body.message).not.toContain('MEMORY');
  });

  test('values keep to their rules, and some are for administrators', async () => {
    const template = await panel.createTemplate({
      variables: [
        {
          name: 'SLOTS',
          description: '',
          default: '8',
          required: false,
          userEditable: true,
          rules: 'integer|max:32',
        },
        {
          name: 'LICENCE',
          description: '',
          default: 'free',
          required: false,
          userEditable: false,
          rules: 'string',
        },
      ],
    });
    const wrong = await create({ templateId: template.id, environment: { SLOTS: '33' } });
    expect(wrong).toMatchObject({ status: 400, body: { code: 'server.variable_invalid' } });
    expect(wrong.body.message).toContain('SLOTS');
    const withLicence = { templateId: template.id, environment: { LICENCE: 'gold' } };
    expect(await create(withLicence)).toMatchObject({ status: 403 });
    await created({ templateId: template.id, environment: { LICENCE: 'free', SLOTS: '32' } });
    const server = await created({ ...withLicence, ownerId: creator.id }, administrator.token);
    const url = `/api/servers/${server.id}`;
    const kept = await panel.put(url, { environment: { LICENCE: 'gold', SLOTS: '4' } }, creator.token);
    expect(kept).toMatchObject({
      status: 200,
      body: { data: { environment: { LICENCE: 'gold', SLOTS: '4' } } },
    });
    expect(await panel.put(url, { environment: { LICENCE: 'platinum' } }, creator.token)).toMatchObject({
      status: 403,
    });
  });
});

describe('list', () => {
  test('shows what the actor may read, with a total and nothing that get alone shows', async () => {
    const own = await panel.createUser(['server.create']);
    const first = await created({ name: 'first' }, own.token);
    const second = await created({ name: 'second' }, own.token);
    const shared = await insertServer(panel, {
      nodeId: node.id,
      ownerId: creator.id,
      templateId,
      name: 'shared',
    });
    await insertServer(panel, { nodeId: node.id, ownerId: creator.id, templateId });
    await panel.context.database.prisma.serverAccess.create({
      data: { serverId: shared.id, userId: own.id, permissions: ['server.*'] },
    });
    const { body: all } = await panel.get('/api/servers', own.token);
    expect(all.data.map(({ id }: { id: string }) => id)).toEqual([first.id, second.id, shared.id]);
    expect(all.pagination).toEqual({ page: 1, limit: 20, total: 3, pages: 1 });
    expect(all.data[0]).toMatchObject({ name: 'first', nodeId: node.id, templateId, status: 'stopped' });
    expect(all.data[0]).not.toHaveProperty('environment');
    expect(all.data[0]).not.toHaveProperty('node');
    const { body: page } = await panel.get('/api/servers?page=2&limit=2', own.token);
    expect(page.data.map(({ id }: { id: string }) => id)).toEqual([shared.id]);
    expect(page.pagination).toEqual({ page: 2, limit: 2, total: 3, pages: 2 });
    const { body: beyond } = await panel.get('/api/servers?page=9', own.token);
    expect(beyond).toMatchObject({ data: [], pagination: { page: 9, total: 3, pages: 1 } });
    const { body: none } = await panel.get('/api/servers', stranger.token);
    expect(none.data.every(({ ownerId }: { ownerId: string }) => ownerId === stranger.id)).toBe(true);
  });

  test('filters by node and by the status that clients see', async () => {
    const other = await panel.createNode();
    const base = { nodeId: other.id, ownerId: creator.id, templateId };
    const running = await insertServer(panel, {
      ...base,
      status: 'running',
      cpuUsage: 45.2,
      memoryUsageMb: 2048,
    });
    const suspended = await insertServer(panel, { ...base, suspendedAt: new Date() });
    const stopped = await insertServer(panel, { ...base, cpuUsage: 45.2, memoryUsageMb: 2048 });
    const ids = async (query: string) => {
      const answer = await panel.get(`/api/servers?nodeId=${other.id}${query}`, administrator.token);
      return answer.body.data.map(({ id }: { id: string }) => id);
    };
    expect(await ids('')).toEqual([running.id, suspended.id, stopped.id]);
    expect(await ids('&status=running')).toEqual([running.id]);
    expect(await ids('&status=suspended')).toEqual([suspended.id]);
    expect(await ids('&status=stopped')).toEqual([stopped.id]);
    const { body: shown } = await panel.get(`/api/servers?nodeId=${other.id}`, administrator.token);
    expect(shown.data.map(({ cpuUsage }: { cpuUsage: number }) => cpuUsage)).toEqual([45.2, 0, 0]);
  });

  test.each([
    '?limit=101',
    '?limit=0',
    '?page=0',
    '?page=x',
    '?status=sleeping',
    '?colour=blue',
    '?nodeId=%00',
  ])('with %s is 400', async (query) => {
    expect((await panel.get(`/api/servers${query}`, administrator.token)).status).toBe(400);
  });
});

describe('update', () => {
  test('changes names at any time, resources only while the server is down', async () => {
    const server = await created();
    const url = `/api/servers/${server.id}`;
    const changed = await panel.put(
      url,
      { name: 'minecraft-lobby-updated', description: 'Updated description', allocatedMemoryMb: 128 },
      creator.token,
    );
    expect(changed).toMatchObject({
      status: 200,
      body: { data: { name: 'minecraft-lobby-updated', allocatedMemoryMb: 128, allocatedCpuCores: 0.01 } },
    });
    await panel.context.database.prisma.server.update({
      where: { id: server.id },
      data: { status: 'running' },
    });
    expect(await panel.put(url, { allocatedMemoryMb: 256 }, creator.token)).toMatchObject({
      status: 409,
      body: { code: 'server.not_stopped' },
    });
    expect(await panel.put(url, { name: 'still', restartPolicy: 'always' }, creator.token)).toMatchObject({
      status: 200,
      body: { data: { name: 'still', restartPolicy: 'always', allocatedMemoryMb: 128 } },
    });
  });

  test('never takes more than the node has', async () => {
    const small = await panel.createNode({ maxMemoryMb: 1000, maxCpuCores: 2 });
    const server = await created({ nodeId: small.id, allocatedMemoryMb: 500 });
    await created({ nodeId: small.id, allocatedMemoryMb: 400 });
    const url = `/api/servers/${server.id}`;
    expect(await panel.put(url, { allocatedMemoryMb: 601 }, creator.token)).toMatchObject({
      status: 400,
      body: { code: 'node.insufficient_resources' },
    });
    expect((await panel.put(url, { allocatedMemoryMb: 600 }, creator.token)).status).toBe(200);
  });

  test.each([
    { colour: 'blue' },
    { name: '' },
    { allocatedMemoryMb: 1 },
    { primaryPort: 1 },
    { ownerId: 'x' },
  ])('with %j is 400', async (input) => {
    const server = await insertServer(panel, { nodeId: node.id, ownerId: creator.id, templateId });
    expect((await panel.put(`/api/servers/${server.id}`, input, creator.token)).status).toBe(400);
  });
});

describe('delete', () => {
  test('a server that was never installed goes without its node, and its ports are free again', async () => {
    const server = await created({ portBindings: { 25565: 42_000 } });
    expect(await create({ portBindings: { 25565: 42_000 } })).toMatchObject({ status: 409 });
    const deleted: string[] = [];
    panel.context.bus.on('server.deleted', ({ serverId }) => deleted.push(serverId));
    expect(await panel.delete(`/api/servers/${server.id}`, creator.token)).toMatchObject({
      status: 200,
      body: { success: true, message: 'Server deleted successfully' },
    });
    expect(deleted).toEqual([server.id]);
    expect((await panel.delete(`/api/servers/${server.id}`, creator.token)).status).toBe(404);
    await created({ portBindings: { 25565: 42_000 } });
  });

  test('a server that runs is 409, an installed one of a node that is away goes later', async () => {
    const base = { nodeId: node.id, ownerId: creator.id, templateId };
    const running = await insertServer(panel, { ...base, status: 'running' });
    expect(await panel.delete(`/api/servers/${running.id}`, creator.token)).toMatchObject({
      status: 409,
      body: { code: 'server.not_stopped' },
    });
    const installed = await insertServer(panel, base);
    const url = `/api/servers/${installed.id}`;
    expect(await panel.delete(url, creator.token)).toMatchObject({ status: 200 });
    const { body: shown } = await panel.get(url, creator.token);
    expect(shown.data.deletionRequestedAt).toEqual(expect.any(String));
  });
});
