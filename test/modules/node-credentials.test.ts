import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { refusedUpgrade } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

let panel: PanelWithDoors;
let other: PanelWithDoors;
let administrator: TestUser;
let reader: TestUser;
let user: TestUser;
const lines: string[] = [];
const log = { level: 'debug', write: (line: string) => lines.push(line) };
beforeAll(async () => {
  panel = await startPanelWithDoors({ log });
  other = await startPanelWithDoors({ database: panel.database, log });
  administrator = await panel.createAdministrator();
  reader = await panel.createUser(['admin.read', 'server.*']);
  user = await panel.createUser();
});
afterAll(async () => {
  await other.close();
  await panel.close();
});

const WRITING = [
  ['POST', '/api/nodes/x/rotate-secret'],
  ['DELETE', '/api/nodes/x/deployment-tokens/y'],
] as const;
const ROUTES = [...WRITING, ['GET', '/api/nodes/x/deployment-tokens']] as const;

test.each(ROUTES)('%s %s is 401 without a token', async (method, url) => {
  expect((await panel.call(method, url)).status).toBe(401);
});

test.each(ROUTES)('%s %s is 403 for who is no administrator', async (method, url) => {
  expect((await panel.call(method, url, undefined, user.token)).body.code).toBe('permission.denied');
});

test.each(WRITING)('%s %s is 403 for who may only read, also through an API key', async (method, url) => {
  const { key } = await createApiKey(panel, administrator.token, { permissions: ['admin.read'] });
  for (const token of [reader.token, key]) {
    expect((await panel.call(method, url, undefined, token)).body.code).toBe('permission.denied');
  }
});

test.each(ROUTES)('%s %s is 404 for a node that does not exist', async (method, url) => {
  const answer = await panel.call(method, url, undefined, administrator.token);
  expect([answer.status, answer.body.code]).toEqual([404, 'node.not_found']);
});

test('rotating takes no body', async () => {
  const node = await panel.createNode();
  const url = `/api/nodes/${node.id}/rotate-secret`;
  expect((await panel.post(url, { secret: 'mine' }, administrator.token)).status).toBe(400);
  expect((await panel.post(url, {}, administrator.token)).status).toBe(200);
});

async function tokenOf(nodeId: string): Promise<string> {
  const { body } = await panel.post(`/api/nodes/${nodeId}/deployment-token`, {}, administrator.token);
  return body.data.deploymentToken as string;
}

async function tokensOf(nodeId: string) {
  const { body } = await panel.get(`/api/nodes/${nodeId}/deployment-tokens`, reader.token);
  return body.data as { id: string; usedAt: string | null }[];
}

function rotate(nodeId: string) {
  return panel.post(`/api/nodes/${nodeId}/rotate-secret`, undefined, administrator.token);
}

describe('deployment tokens', () => {
  test('are listed, newest first, without the tokens', async () => {
    const node = await panel.createNode();
    const first = await tokenOf(node.id);
    const second = await tokenOf(node.id);
    const agent = await panel.connect({ nodeId: node.id, token: first });
    await agent.next('node_handshake_response');
    const answer = await panel.get(`/api/nodes/${node.id}/deployment-tokens?limit=5`, reader.token);
    expect(answer.body).toEqual({
      success: true,
      data: [null, expect.any(String)].map((usedAt) => ({
        id: expect.any(String),
        createdAt: expect.any(String),
        expiresAt: expect.any(String),
        usedAt,
        createdBy: { id: administrator.id, username: administrator.username },
      })),
      pagination: { page: 1, limit: 5, total: 2, pages: 1 },
    });
    expect(answer.text).not.toContain(first);
    expect(answer.text).not.toContain(second);
    await agent.disconnect();
  });

  test('of an account that is gone are listed, too', async () => {
    const node = await panel.createNode();
    const { prisma } = panel.context.database;
    await prisma.deploymentToken.create({
      data: { nodeId: node.id, tokenHash: node.id, expiresAt: new Date(), createdById: 'gone' },
    });
    expect(await tokensOf(node.id)).toMatchObject([{ createdBy: null }]);
  });

  test('that are revoked let nobody in', async () => {
    const node = await panel.createNode();
    const token = await tokenOf(node.id);
    const [listed] = await tokensOf(node.id);
    const url = `/api/nodes/${node.id}/deployment-tokens/${listed?.id}`;
    expect((await panel.get(`/api/deploy/${token}`)).status).not.toBe(404);
    expect((await panel.delete(url, administrator.token)).body).toEqual({ success: true });
    expect((await panel.get(`/api/deploy/${token}`)).status).toBe(404);
    expect(await refusedUpgrade(panel.port, `/ws?nodeId=${node.id}&token=${token}`)).toBe(401);
    const again = await panel.delete(url, administrator.token);
    expect([again.status, again.body.code]).toEqual([404, 'deployment_token.not_found']);
  });

  test('of another node are 404', async () => {
    const [node, stranger] = [await panel.createNode(), await panel.createNode()];
    await tokenOf(node.id);
    const [listed] = await tokensOf(node.id);
    const answer = await panel.delete(
      `/api/nodes/${stranger.id}/deployment-tokens/${listed?.id}`,
      administrator.token,
    );
    expect([answer.status, answer.body.code]).toEqual([404, 'deployment_token.not_found']);
    expect(await tokensOf(node.id)).toHaveLength(1);
  });
});

describe('POST /api/nodes/:nodeId/rotate-secret', () => {
  test('answers the new secret; the old one and unused deployment tokens let nobody in any more', async () => {
    const node = await panel.createNode();
    const token = await tokenOf(node.id);
    const answer = await rotate(node.id);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual({
      success: true,
      data: { secret: expect.stringMatching(/^ctn_.{43}$/), agentUpdated: false },
    });
    const { secret } = answer.body.data;
    expect(secret).not.toBe(node.secret);
    for (const old of [node.secret, token]) {
      expect(await refusedUpgrade(panel.port, `/ws?nodeId=${node.id}&token=${old}`)).toBe(401);
    }
    expect(await tokensOf(node.id)).toEqual([]);
    expect((await panel.get(`/api/nodes/${node.id}`, administrator.token)).body.data.secret).toBe(secret);
    const agent = await panel.connect({ nodeId: node.id, token: secret });
    await agent.next('node_handshake_response');
    await agent.disconnect();
  });

  test('tells the agent that can take it, which comes back with the new secret', async () => {
    const node = await panel.createNode();
    const handshake = { capabilities: ['secret-rotation'] };
    const agent = await panel.connectAgent(node, handshake);
    const { data } = (await rotate(node.id)).body;
    expect(data.agentUpdated).toBe(true);
    expect(await agent.next('rotate_secret')).toEqual({ type: 'rotate_secret', secret: data.secret });
    const back = await panel.connect({ nodeId: node.id, token: data.secret, handshake });
    await back.next('node_handshake_response');
    expect(await agent.closed()).toMatchObject({ code: 4409 });
    await back.disconnect();
    expect(back.received).toEqual([]);
  });

  test('sends away an agent that was told and does not come back', { timeout: 30_000 }, async () => {
    const node = await panel.createNode();
    const agent = await panel.connect({
      nodeId: node.id,
      token: node.secret,
      handshake: { capabilities: ['secret-rotation'] },
    });
    await agent.next('node_handshake_response');
    await rotate(node.id);
    const code = await new Promise((resolve) => agent.socket.on('close', resolve));
    expect(code).toBe(4401);
    expect(agent.received.map(({ type }) => type)).toEqual(['rotate_secret']);
  });

  test('sends away at once an agent that speaks only what is documented', async () => {
    const node = await panel.createNode();
    const agent = await panel.connectAgent(node);
    expect((await rotate(node.id)).body.data.agentUpdated).toBe(false);
    expect(await agent.closed()).toMatchObject({ code: 4401 });
    expect(agent.received).toEqual([]);
  });

  test('reaches agents that are connected to another panel within two seconds', async () => {
    const [documented, able] = [await panel.createNode(), await panel.createNode()];
    const old = await other.connect({ nodeId: documented.id, token: documented.secret });
    const agent = await other.connect({
      nodeId: able.id,
      token: able.secret,
      handshake: { capabilities: ['secret-rotation'] },
    });
    await Promise.all([old.next('node_handshake_response'), agent.next('node_handshake_response')]);
    const startedAt = performance.now();
    expect((await rotate(documented.id)).body.data.agentUpdated).toBe(false);
    const { secret } = (await rotate(able.id)).body.data;
    expect(await old.closed()).toMatchObject({ code: 4401 });
    expect(await agent.next('rotate_secret')).toEqual({ type: 'rotate_secret', secret });
    expect(performance.now() - startedAt).toBeLessThan(2000);
    await agent.disconnect();
  });

  test('cuts off an agent that does not answer the closing', async () => {
    const node = await panel.createNode();
    const agent = await panel.connectAgent(node);
    agent.socket.pause();
    await rotate(node.id);
    await expect.poll(() => panel.context.agents.isConnected(node.id), { timeout: 3000 }).toBe(false);
    agent.socket.terminate();
  });

  test('10 at once: the stored secret is that of one of them, and only it lets in', async () => {
    const node = await panel.createNode();
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        (index % 2 ? panel : other).post(`/api/nodes/${node.id}/rotate-secret`, {}, administrator.token),
      ),
    );
    const secrets: string[] = answers.map(({ body }) => body.data.secret);
    const details = await panel.get(`/api/nodes/${node.id}`, administrator.token);
    const stored: string = details.body.data.secret;
    expect(secrets.filter((secret) => secret === stored)).toHaveLength(1);
    const credentials = await Promise.all(
      secrets.map((token) => panel.context.nodes.authenticateAgent({ nodeId: node.id, token })),
    );
    expect(credentials.filter((credential) => credential !== null)).toHaveLength(1);
  });

  test('several at once: an agent is told the last secret last', async () => {
    const node = await panel.createNode();
    const agent = await panel.connect({
      nodeId: node.id,
      token: node.secret,
      handshake: { capabilities: ['secret-rotation'] },
    });
    await agent.next('node_handshake_response');
    await Promise.all(Array.from({ length: 5 }, () => rotate(node.id)));
    const details = await panel.get(`/api/nodes/${node.id}`, administrator.token);
    const { secret } = details.body.data;
    await agent.until('the last secret', () => agent.received.at(-1)?.secret === secret);
    await agent.disconnect();
  });
});

test('an agent of a node that another panel deletes is sent away within two seconds', async () => {
  const node = await panel.createNode();
  const agent = await other.connectAgent(node);
  const startedAt = performance.now();
  await panel.delete(`/api/nodes/${node.id}`, administrator.token);
  expect(await agent.closed()).toMatchObject({ code: 4401, reason: 'The node was deleted.' });
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

test('tokens and rotations are in the audit log, and no secret is in it or in any log line', async () => {
  const node = await panel.createNode();
  const tokens = [await tokenOf(node.id), await tokenOf(node.id)];
  const [listed] = await tokensOf(node.id);
  await panel.delete(`/api/nodes/${node.id}/deployment-tokens/${listed?.id}`, administrator.token);
  const { secret } = (await rotate(node.id)).body.data;
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { resourceType: 'node', resourceId: node.id },
    orderBy: { id: 'asc' },
  });
  expect(rows.map(({ action }) => action)).toEqual([
    'node.create',
    'deployment_token.create',
    'deployment_token.create',
    'deployment_token.revoke',
    'node.rotate_secret',
  ]);
  expect(rows[3]).toMatchObject({
    userId: administrator.id,
    metadata: { nodeName: expect.any(String), tokenId: listed?.id },
  });
  expect(rows[4]?.metadata).toMatchObject({ deploymentTokensRevoked: 1 });
  const written = JSON.stringify(rows, (_, value) => (typeof value === 'bigint' ? String(value) : value));
  for (const planted of [...tokens, secret, node.secret]) {
    expect(written).not.toContain(planted);
    expect(lines.join('')).not.toContain(planted);
  }
});
