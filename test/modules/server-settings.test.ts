import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { auditedActions, serverAudit } from '../helpers/audit.js';
import { connectClient } from '../helpers/client.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';
import { insertServer, storedServer } from '../helpers/servers.js';

const VARIABLE = { description: '', required: false, userEditable: true, rules: '' };
const TEMPLATE = {
  environment: { EULA: 'TRUE', GREETING: 'hello {{SLOTS}}' },
  requiredVariables: ['MEMORY'],
  images: { Old: 'debian:bullseye-slim' },
  variables: [
    { ...VARIABLE, name: 'SLOTS', description: 'Players', default: '8', rules: 'integer|max:32' },
    { ...VARIABLE, name: 'RCON_PASSWORD', default: null, rules: 'string' },
    { ...VARIABLE, name: 'LICENCE', default: 'free', userEditable: false },
  ],
};

let panel: PanelWithDoors;
let owner: TestUser;
let administrator: TestUser;
let stranger: TestUser;
let templateId: string;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  administrator = await panel.createAdministrator();
  stranger = await panel.createUser();
  templateId = (await panel.createTemplate(TEMPLATE)).id;
  node = await panel.createNode({ maxCpuCores: 1000, maxMemoryMb: 100_000 });
  const capabilities = ['command-results', 'crash-policy', 'crash-policy-updates'];
  agent = await panel.connectAgent(node, { capabilities });
});

afterAll(() => panel.close());

function server(fields: Record<string, unknown> = {}) {
  return insertServer(panel, {
    nodeId: node.id,
    ownerId: owner.id,
    templateId,
    environment: { MEMORY: '1G' },
    ...fields,
  });
}

async function member(serverId: string, permissions: string[]): Promise<TestUser> {
  const user = await panel.createUser();
  await panel.context.database.prisma.serverAccess.create({
    data: { serverId, userId: user.id, permissions },
  });
  return user;
}

const ROUTES = [
  ['PATCH', '/restart-policy', { restartPolicy: 'never' }],
  ['POST', '/reset-crash-count', undefined],
  ['POST', '/reinstall', undefined],
  ['PUT', '/variables', { variables: {} }],
] as const;

describe('rights', () => {
  test.each(ROUTES)('%s %s: 401, 404, 403, 423', async (method, path, body) => {
    const { id } = await server();
    const url = `/api/servers/${id}${path}`;
    const reader = await member(id, ['server.read']);
    expect((await panel.call(method, url, body)).status).toBe(401);
    expect((await panel.call(method, url, body, stranger.token)).status).toBe(404);
    expect((await panel.call(method, url, body, reader.token)).status).toBe(403);
    const suspended = await server({ suspendedAt: new Date() });
    const other = `/api/servers/${suspended.id}${path}`;
    expect((await panel.call(method, other, body, owner.token)).status).toBe(423);
    expect(await auditedActions(panel, id)).toEqual([]);
  });
});

describe('update', () => {
  const BIGGER = [{ allocatedMemoryMb: 1024 }, { allocatedCpuCores: 2 }, { allocatedDiskMb: 2048 }];

  test.each([...BIGGER, { databaseLimit: 50 }])('an owner may not say %j, a role may', async (body) => {
    const { id } = await server();
    const before = await storedServer(panel, id);
    const colleague = await member(id, ['server.*']);
    for (const { token } of [owner, colleague]) {
      expect(await panel.put(`/api/servers/${id}`, body, token)).toMatchObject({
        status: 403,
        body: { code: 'permission.denied' },
      });
    }
    expect(await storedServer(panel, id)).toEqual(before);
    expect((await panel.put(`/api/servers/${id}`, body, administrator.token)).status).toBe(200);
    expect(await storedServer(panel, id)).toMatchObject(body);
  });

  test.each([['server.update'], ['server.create'], ['admin.write']])(
    'an owner whose role has %s may resize his own',
    async (permission) => {
      const user = await panel.createUser([permission]);
      const { id } = await server({ ownerId: user.id });
      expect((await panel.put(`/api/servers/${id}`, { allocatedMemoryMb: 600 }, user.token)).status).toBe(
        200,
      );
    },
  );

  test('what stays the same is no change: not refused, not written, also while the server runs', async () => {
    const { id } = await server({ status: 'running' });
    const same = { name: 'a server', allocatedMemoryMb: 512, allocatedCpuCores: 1, databaseLimit: 5 };
    expect((await panel.put(`/api/servers/${id}`, same, owner.token)).status).toBe(200);
    expect(await auditedActions(panel, id)).toEqual([]);
  });

  test('everything else is for the owner, and in the audit log without what is secret', async () => {
    const { id } = await server({ status: 'running' });
    const body = {
      name: 'lobby',
      description: 'Main lobby',
      dockerImage: 'debian:bullseye-slim',
      environment: { MEMORY: '1G', RCON_PASSWORD: 'hunter2' },
    };
    const { status, body: answer } = await panel.put(`/api/servers/${id}`, body, owner.token);
    expect([status, answer.data]).toMatchObject([200, { name: 'lobby', description: 'Main lobby' }]);
    expect(await storedServer(panel, id)).toMatchObject(body);
    const [entry, ...others] = await serverAudit(panel, id);
    expect(others).toEqual([]);
    expect(entry).toMatchObject({
      action: 'server.update',
      userId: owner.id,
      metadata: {
        serverName: 'a server',
        before: { name: 'a server', dockerImage: null },
        after: { name: 'lobby', dockerImage: 'debian:bullseye-slim' },
        variables: ['RCON_PASSWORD'],
      },
    });
    expect(JSON.stringify(entry?.metadata)).not.toContain('hunter2');
  });

  test('an image that the template does not offer is for administrators', async () => {
    const { id } = await server();
    const body = { dockerImage: 'evil/miner:latest' };
    expect((await panel.put(`/api/servers/${id}`, body, owner.token)).status).toBe(403);
    expect((await panel.put(`/api/servers/${id}`, body, administrator.token)).status).toBe(200);
  });

  test('an environment that leaves out what an administrator set does not unset it', async () => {
    const { id } = await server({ environment: { MEMORY: '1G', LICENCE: 'basic' } });
    const body = { environment: { MEMORY: '1G' } };
    expect((await panel.put(`/api/servers/${id}`, body, owner.token)).status).toBe(403);
    expect((await panel.put(`/api/servers/${id}`, body, administrator.token)).status).toBe(200);
  });
});

describe('crash policy', () => {
  test.each([
    {},
    { restartPolicy: 'sometimes' },
    { restartPolicy: null },
    { maxCrashCount: -1 },
    { maxCrashCount: 1001 },
    { maxCrashCount: '5' },
    { restartPolicy: 'never', crashCount: 0 },
    [],
  ])('restart-policy with %j is 400', async (body) => {
    const { id } = await server();
    expect((await panel.patch(`/api/servers/${id}/restart-policy`, body, owner.token)).status).toBe(400);
  });

  test('answers as documented, tells the agent at once and the audit log', async () => {
    const { id, uuid } = await server({ status: 'running', maxCrashCount: 3 });
    const url = `/api/servers/${id}/restart-policy`;
    const { status, body } = await panel.patch(
      url,
      { restartPolicy: 'always', maxCrashCount: 5 },
      owner.token,
    );
    expect([status, body]).toEqual([200, { success: true, restartPolicy: 'always', maxCrashCount: 5 }]);
    expect(await agent.next('crash_policy', ({ serverId }) => serverId === id)).toEqual({
      type: 'crash_policy',
      serverId: id,
      serverUuid: uuid,
      restartPolicy: 'always',
      maxCrashCount: 5,
      resetCrashCount: false,
    });
    const other = await panel.patch(url, { maxCrashCount: 7 }, owner.token);
    expect(other.body).toEqual({ success: true, restartPolicy: 'always', maxCrashCount: 7 });
    await agent.next('crash_policy', ({ maxCrashCount }) => maxCrashCount === 7);
    await panel.put(`/api/servers/${id}`, { restartPolicy: 'on-failure' }, owner.token);
    await agent.next('crash_policy', ({ restartPolicy }) => restartPolicy === 'on-failure');
    expect(await serverAudit(panel, id)).toMatchObject([
      { action: 'server.update', metadata: { before: { maxCrashCount: 3 }, after: { maxCrashCount: 5 } } },
      { action: 'server.update' },
      { action: 'server.update' },
    ]);
  });

  test('the crash count goes back to nothing, here and at the agent', async () => {
    const { id } = await server({ status: 'crashed', crashCount: 4 });
    const { status, body } = await panel.post(`/api/servers/${id}/reset-crash-count`, undefined, owner.token);
    expect([status, body]).toEqual([200, { success: true, message: 'Crash count reset' }]);
    expect(await storedServer(panel, id)).toMatchObject({ status: 'crashed', crashCount: 0 });
    const told = await agent.next('crash_policy', ({ serverId }) => serverId === id);
    expect(told.resetCrashCount).toBe(true);
    expect(await auditedActions(panel, id)).toEqual(['server.reset_crash_count']);
  });

  test('a node that is away hears of it with the next start', async () => {
    const away = await panel.createNode();
    const { id } = await server({ nodeId: away.id, crashCount: 4 });
    const body = { restartPolicy: 'never' };
    expect((await panel.patch(`/api/servers/${id}/restart-policy`, body, owner.token)).status).toBe(200);
    expect((await panel.post(`/api/servers/${id}/reset-crash-count`, {}, owner.token)).status).toBe(200);
    expect(await storedServer(panel, id)).toMatchObject({ restartPolicy: 'never', crashCount: 0 });
  });
});

describe('reinstall', () => {
  test('takes a server that is down, and installs it once more', async () => {
    const running = await server({ status: 'running' });
    expect(await panel.post(`/api/servers/${running.id}/reinstall`, undefined, owner.token)).toMatchObject({
      status: 409,
      body: { code: 'server.not_stopped' },
    });
    const { id } = await server();
    expect((await panel.post(`/api/servers/${id}/reinstall`, { wipe: true }, owner.token)).status).toBe(400);
    const { status, body } = await panel.post(`/api/servers/${id}/reinstall`, undefined, owner.token);
    expect([status, body]).toEqual([200, { success: true, message: 'Reinstallation started', serverId: id }]);
    await agent.next('install_server', ({ serverId }) => serverId === id);
    expect(await storedServer(panel, id)).toMatchObject({ status: 'installing' });
    expect(await auditedActions(panel, id)).toEqual(['server.reinstall']);
  });
});

describe('variables', () => {
  test('GET: 401, 404, and what the next start sees', async () => {
    const { id } = await server({ environment: { MEMORY: '1G', SLOTS: '16' } });
    const url = `/api/servers/${id}/variables`;
    expect((await panel.get(url)).status).toBe(401);
    expect((await panel.get(url, stranger.token)).status).toBe(404);
    const { status, body } = await panel.get(url, owner.token);
    expect(status).toBe(200);
    expect(body).toEqual({
      success: true,
      data: [
        {
          name: 'SLOTS',
          description: 'Players',
          value: '16',
          defaultValue: '8',
          required: false,
          userEditable: true,
          rules: 'integer|max:32',
        },
        expect.objectContaining({ name: 'RCON_PASSWORD', value: null, defaultValue: null }),
        expect.objectContaining({ name: 'LICENCE', value: 'free', userEditable: false }),
        expect.objectContaining({ name: 'MEMORY', value: '1G', defaultValue: null, required: true }),
        expect.objectContaining({ name: 'EULA', value: 'TRUE', defaultValue: 'TRUE' }),
        expect.objectContaining({ name: 'GREETING', value: 'hello 16' }),
      ],
    });
  });

  test.each([
    {},
    { variables: null },
    { variables: [] },
    { variables: { SLOTS: 8 } },
    { variables: { SLOTS: '33' } },
    { variables: { 'not a name': 'x' } },
    { variables: { LD_PRELOAD: 'x' } },
    { variables: { MEMORY: null } },
    { variables: { RCON_PASSWORD: 'a\u0000b' } },
    { variables: {}, other: 1 },
  ])('PUT %j is 400', async (body) => {
    const { id } = await server();
    expect((await panel.put(`/api/servers/${id}/variables`, body, owner.token)).status).toBe(400);
    expect(await storedServer(panel, id)).toMatchObject({ environment: { MEMORY: '1G' } });
  });

  test('PUT sets what is named, null brings the default back, the log has the names only', async () => {
    const { id } = await server({ environment: { MEMORY: '1G', SLOTS: '16' } });
    const { status, body } = await panel.put(
      `/api/servers/${id}/variables`,
      { variables: { SLOTS: null, RCON_PASSWORD: 'hunter2' } },
      owner.token,
    );
    expect(status).toBe(200);
    expect(body.data).toMatchObject([{ value: '8' }, { value: 'hunter2' }, {}, {}, {}, {}]);
    const environment = { MEMORY: '1G', RCON_PASSWORD: 'hunter2' };
    expect(await storedServer(panel, id)).toMatchObject({ environment });
    const [entry] = await serverAudit(panel, id);
    expect(entry?.metadata).toEqual({ serverName: 'a server', variables: ['RCON_PASSWORD', 'SLOTS'] });
  });

  test('what only administrators may set nobody else sets or resets', async () => {
    const { id } = await server({ environment: { MEMORY: '1G', LICENCE: 'basic' } });
    const url = `/api/servers/${id}/variables`;
    for (const LICENCE of ['gold', null]) {
      expect((await panel.put(url, { variables: { LICENCE } }, owner.token)).status).toBe(403);
    }
    expect((await panel.put(url, { variables: { SLOTS: '9' } }, owner.token)).status).toBe(200);
    expect((await panel.put(url, { variables: { LICENCE: null } }, administrator.token)).status).toBe(200);
    expect(await storedServer(panel, id)).toMatchObject({ environment: { MEMORY: '1G', SLOTS: '9' } });
  });

  test('of changes at once none is lost', async () => {
    const { id } = await server();
    const put = (variables: Record<string, string>) =>
      panel.put(`/api/servers/${id}/variables`, { variables }, owner.token);
    await Promise.all([put({ SLOTS: '4' }), put({ RCON_PASSWORD: 'x' }), put({ EULA: 'FALSE' })]);
    expect(await storedServer(panel, id)).toMatchObject({
      environment: { MEMORY: '1G', SLOTS: '4', RCON_PASSWORD: 'x', EULA: 'FALSE' },
    });
  });
});

describe('owner', () => {
  test('401, 403 for all but administrators, 404, 400, 423', async () => {
    const { id } = await server();
    const url = `/api/servers/${id}/owner`;
    const body = { ownerId: stranger.id };
    expect((await panel.put(url, body)).status).toBe(401);
    for (const { token } of [owner, stranger]) expect((await panel.put(url, body, token)).status).toBe(403);
    const missing = await panel.put('/api/servers/nosuch/owner', body, administrator.token);
    expect(missing).toMatchObject({ status: 404, body: { code: 'server.not_found' } });
    expect(await panel.put(url, { ownerId: 'nobody' }, administrator.token)).toMatchObject({
      status: 404,
      body: { code: 'user.not_found' },
    });
    for (const wrong of [{}, { ownerId: null }, { ownerId: 5 }, { ownerId: '' }, { ...body, name: 'x' }]) {
      expect((await panel.put(url, wrong, administrator.token)).status).toBe(400);
    }
    const disabled = await panel.createUser();
    await panel.context.database.prisma.user.update({
      where: { id: disabled.id },
      data: { disabledAt: new Date() },
    });
    expect((await panel.put(url, { ownerId: disabled.id }, administrator.token)).status).toBe(400);
    expect(await storedServer(panel, id)).toMatchObject({ ownerId: owner.id });
    const suspended = await server({ suspendedAt: new Date() });
    const blocked = await panel.put(`/api/servers/${suspended.id}/owner`, body, administrator.token);
    expect(blocked.status).toBe(423);
  });

  test('the old owner loses everything at once, the new one is no member any more', async () => {
    const { id } = await server();
    const next = await member(id, ['server.read']);
    const client = await connectClient({ port: panel.port, token: owner.token });
    await client.subscribe(id);
    const url = `/api/servers/${id}/owner`;
    const answer = await panel.put(url, { ownerId: next.id }, administrator.token);
    expect(answer).toMatchObject({ status: 200, body: { success: true, data: { id, ownerId: next.id } } });
    await client.next('unsubscribed', ({ serverId }) => serverId === id);
    expect((await panel.get(`/api/servers/${id}`, owner.token)).status).toBe(404);
    expect((await panel.put(`/api/servers/${id}`, { name: 'mine' }, next.token)).status).toBe(200);
    expect(await panel.context.database.prisma.serverAccess.count({ where: { serverId: id } })).toBe(0);
    expect((await panel.put(url, { ownerId: next.id }, administrator.token)).status).toBe(200);
    const [entry, ...others] = await serverAudit(panel, id);
    expect(entry).toMatchObject({
      action: 'server.change_owner',
      userId: administrator.id,
      metadata: {
        before: { ownerId: owner.id, username: owner.username },
        after: { ownerId: next.id, username: next.username },
      },
    });
    expect(others.map(({ action }) => action)).toEqual(['server.update']);
    await client.close();
  });
});
