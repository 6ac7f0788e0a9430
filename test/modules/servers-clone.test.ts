import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createOnlineNode, insertPool } from '../helpers/nodes.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

const LICENCE = {
  name: 'LICENCE',
  description: '',
  default: 'free',
  required: false,
  userEditable: false,
  rules: 'string',
};

let panel: Panel;
let administrator: TestUser;
let owner: TestUser;
let stranger: TestUser;
let nodeId: string;
let templateId: string;

beforeAll(async () => {
  panel = await startPanel();
  administrator = await panel.createAdministrator();
  owner = await panel.createUser(['server.create']);
  stranger = await panel.createUser(['server.create']);
  nodeId = (await createOnlineNode(panel, { maxMemoryMb: 1_000_000, maxCpuCores: 1000 })).id;
  templateId = (
    await panel.createTemplate({
      variables: [LICENCE, { ...LICENCE, name: 'MOTD', userEditable: true }],
      images: { Newer: 'debian:trixie-slim' },
    })
  ).id;
});

afterAll(() => panel.close());

/** A server of the owner, with what only an administrator can give it when it has that. */
async function source(fields: Record<string, unknown> = {}) {
  const answer = await panel.post(
    '/api/servers',
    {
      name: 'the source',
      templateId,
      nodeId,
      ownerId: owner.id,
      allocatedMemoryMb: 64,
      allocatedCpuCores: 0.5,
      allocatedDiskMb: 10,
      ...fields,
    },
    administrator.token,
  );
  expect(answer, answer.text).toMatchObject({ status: 201 });
  return answer.body.data;
}

function clone(id: string, fields: Record<string, unknown> = {}, token = owner.token) {
  return panel.post(`/api/servers/${id}/clone`, { name: 'the clone', ...fields }, token);
}

async function share(serverId: string, user: TestUser, permissions: string[]): Promise<void> {
  await panel.context.database.prisma.serverAccess.create({
    data: { serverId, userId: user.id, permissions },
  });
}

describe('rights', () => {
  test('401 without a token; 403 without server.create; 404 for who may not read the source', async () => {
    const { id } = await source();
    expect((await panel.post(`/api/servers/${id}/clone`, { name: 'x' })).status).toBe(401);
    const member = await panel.createUser();
    await share(id, member, ['*']);
    expect(await clone(id, {}, member.token)).toMatchObject({
      status: 403,
      body: { code: 'permission.denied' },
    });
    expect(await clone(id, {}, stranger.token)).toMatchObject({
      status: 404,
      body: { code: 'server.not_found' },
    });
    expect(await clone('nosuchserver')).toMatchObject({ status: 404, body: { code: 'server.not_found' } });
  });

  test('a suspended server is not multiplied: 423', async () => {
    const { id } = await source();
    await panel.context.database.prisma.server.update({ where: { id }, data: { suspendedAt: new Date() } });
    expect(await clone(id)).toMatchObject({ status: 423, body: { code: 'server.suspended' } });
  });

  test('only an administrator clones for somebody else', async () => {
    const { id } = await source();
    expect(await clone(id, { ownerId: stranger.id })).toMatchObject({ status: 403 });
    const answer = await clone(id, { ownerId: stranger.id }, administrator.token);
    expect(answer).toMatchObject({ status: 201, body: { data: { ownerId: stranger.id } } });
  });
});

test.each([
  ['no name', { name: undefined }],
  ['an unknown field', { allocatedMemoryMb: 1000 }],
  ['a nodeId that is no text', { nodeId: 1 }],
])('400 for %s', async (_what, fields) => {
  const { id } = await source();
  expect(await clone(id, fields)).toMatchObject({ status: 400, body: { code: 'request.invalid' } });
});

test('a clone is what its source is, but for its name, ids and ports', async () => {
  const original = await source({
    description: 'With everything',
    primaryPort: 25_570,
    portBindings: { 25570: 40_000, 25575: 40_001 },
    environment: { MOTD: 'hello' },
    dockerImage: 'debian:trixie-slim',
    databaseLimit: 9,
    restartPolicy: 'always',
    maxCrashCount: 3,
  });
  const answer = await clone(original.id);
  expect(answer, answer.text).toMatchObject({ status: 201, body: { success: true } });
  const copy = answer.body.data;
  for (const name of ['id', 'uuid', 'name', 'containerName', 'createdAt', 'updatedAt', 'portBindings']) {
    expect([name, copy[name]]).not.toEqual([name, original[name]]);
  }
  expect(copy).toEqual({
    ...original,
    name: 'the clone',
    id: copy.id,
    uuid: copy.uuid,
    containerName: `catalyst-${copy.uuid.slice(0, 8)}`,
    createdAt: copy.createdAt,
    updatedAt: copy.updatedAt,
    portBindings: copy.portBindings,
  });
  expect(Object.keys(copy.portBindings)).toEqual(['25570', '25575']);
  const rows = await panel.context.database.prisma.auditLog.findMany({ where: { serverId: copy.id } });
  expect(rows).toMatchObject([
    {
      action: 'server.clone',
      resourceId: copy.id,
      metadata: { serverName: 'the clone', sourceServerId: original.id, sourceServerName: 'the source' },
    },
  ]);
});

test('a clone goes to the node that is asked for, or to the best one of a location', async () => {
  const other = await createOnlineNode(panel, { maxMemoryMb: 63 });
  const { id } = await source();
  expect(await clone(id, { nodeId: other.id })).toMatchObject({
    status: 400,
    body: { code: 'node.insufficient_resources' },
  });
  const { locationId } = await panel.context.database.prisma.node.findUniqueOrThrow({
    where: { id: other.id },
  });
  expect(await clone(id, { locationId })).toMatchObject({ status: 400, body: { code: 'server.no_node' } });
  expect(await clone(id)).toMatchObject({ status: 201, body: { data: { nodeId } } });
});

test('a server with an address of its own is cloned to the next address', async () => {
  const pool = await insertPool(panel, nodeId, { networkName: 'cloned' });
  const original = await source({ networkMode: pool.networkName });
  const answer = await clone(original.id);
  expect(answer).toMatchObject({
    status: 201,
    body: { data: { networkMode: 'cloned', ipAddress: '192.0.2.3', portBindings: original.portBindings } },
  });
});

describe('what only an administrator may set', () => {
  const restricted = [
    ['a variable', { environment: { LICENCE: 'gold' } }],
    ['an image of no template', { dockerImage: 'registry.example.com/special:1' }],
    ['a database limit', { databaseLimit: 20 }],
  ] as const;

  test.each(restricted)('%s: the owner keeps it, a member does not get it', async (_what, fields) => {
    const { id } = await source(fields);
    expect(await clone(id)).toMatchObject({ status: 201, body: { data: fields } });
    await share(id, stranger, ['server.read']);
    expect(await clone(id, {}, stranger.token)).toMatchObject({
      status: 403,
      body: { code: 'permission.denied' },
    });
    expect(await clone(id, { ownerId: stranger.id }, administrator.token)).toMatchObject({
      status: 201,
      body: { data: { ...fields, ownerId: stranger.id } },
    });
  });

  test('the network of the node: nobody else clones into it', async () => {
    const { id } = await source({ networkMode: 'host', primaryPort: 45_000 });
    expect(await clone(id)).toMatchObject({ status: 403 });
    expect(await clone(id, { nodeId }, administrator.token)).toMatchObject({
      status: 409,
      body: { code: 'allocation.port_taken' },
    });
  });
});

test('values of variables that the template has lost are left behind', async () => {
  const template = await panel.createTemplate({ variables: [{ ...LICENCE, userEditable: true }] });
  const { id } = await source({ templateId: template.id, environment: { LICENCE: 'gold', MEMORY: '1G' } });
  await panel.context.database.prisma.template.update({
    where: { id: template.id },
    data: { variables: [] },
  });
  expect(await clone(id)).toMatchObject({ status: 201, body: { data: { environment: { MEMORY: '1G' } } } });
});
