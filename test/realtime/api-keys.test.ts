import { afterAll, beforeAll, expect, test } from 'vitest';
import { createApiKey } from '../helpers/accounts.js';
import { connectClient } from '../helpers/client.js';
import { insertServer, type ServerRow } from '../helpers/console.js';
import { refusedUpgrade } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

let panel: PanelWithDoors;
let owner: TestUser;
let server: ServerRow;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  server = await insertServer(panel.context.database, { ownerId: owner.id });
});

afterAll(() => panel.close());

test('an API key is accepted in the address and in the first message', async () => {
  const { key } = await createApiKey(panel, owner.token);
  const byAddress = await connectClient({ port: panel.port, token: key });
  expect(await byAddress.subscribe(server.id)).toMatchObject({ serverId: server.id });
  const byMessage = await connectClient({
    port: panel.port,
    first: [{ type: 'authenticate', token: key }],
  });
  expect(await byMessage.next('authenticated')).toMatchObject({ userId: owner.id });
  expect(await byMessage.subscribe(server.id)).toMatchObject({ serverId: server.id });
  await byAddress.close();
  await byMessage.close();
});

test('a made-up API key is 401', async () => {
  expect(await refusedUpgrade(panel.port, `/ws?token=ctk_${'A'.repeat(43)}`)).toBe(401);
});

test('a key that was narrowed watches and types only as far as its list goes', async () => {
  const { key } = await createApiKey(panel, owner.token, { permissions: ['server.read'] });
  const client = await connectClient({ port: panel.port, token: key });
  const { events } = await client.subscribe(server.id);
  expect(events).toEqual(['server_state_update', 'resource_stats']);
  client.send({ type: 'subscribe', serverId: server.id, events: ['server_log'] });
  expect(await client.next('error')).toMatchObject({ code: 'permission.denied' });
  client.send({ type: 'console_input', serverId: server.id, data: 'stop\n' });
  expect(await client.next('error')).toMatchObject({ code: 'permission.denied' });
  await client.close();

  const blind = await createApiKey(panel, owner.token, { permissions: ['file.*'] });
  const other = await connectClient({ port: panel.port, token: blind.key });
  other.send({ type: 'subscribe', serverId: server.id });
  expect(await other.next('error')).toMatchObject({ code: 'server.not_found' });
  await other.close();
});

test('revoking a key ends its connections at once, and those of no other', async () => {
  const [revoked, kept] = [await createApiKey(panel, owner.token), await createApiKey(panel, owner.token)];
  const client = await connectClient({ port: panel.port, token: revoked.key });
  const other = await connectClient({ port: panel.port, token: kept.key });
  expect((await panel.delete(`/api/auth/api-keys/${revoked.id}`, owner.token)).status).toBe(200);
  expect((await client.closed()).code).toBe(4401);
  expect(other.isClosed()).toBe(false);
  await other.close();
});

test('a key that is revoked on another panel ends its connections within 2 s', async () => {
  const { id, key } = await createApiKey(panel, owner.token);
  const client = await connectClient({ port: panel.port, token: key });
  const revokedAt = Date.now();
  await panel.context.database.prisma.apiKey.delete({ where: { id } });
  expect((await client.closed()).code).toBe(4401);
  expect(Date.now() - revokedAt).toBeLessThan(2000);
});

test('a key that expires ends its connections within 2 s', async () => {
  const expiresAtMs = Date.now() + 1000;
  const { key } = await createApiKey(panel, owner.token, {
    expiresAt: new Date(expiresAtMs).toISOString(),
  });
  const client = await connectClient({ port: panel.port, token: key });
  await client.subscribe(server.id);
  expect((await client.closed()).code).toBe(4401);
  expect(Date.now() - expiresAtMs).toBeLessThan(2000);
  expect(Date.now()).toBeGreaterThanOrEqual(expiresAtMs);
});

test('deleting the account ends the connections of its sessions and keys', async () => {
  const user = await panel.createUser();
  const { key } = await createApiKey(panel, user.token);
  const clients = [
    await connectClient({ port: panel.port, token: key }),
    await connectClient({ port: panel.port, token: user.token }),
  ];
  const answer = await panel.call('DELETE', '/api/auth/me', { password: user.password }, user.token);
  expect(answer.status).toBe(200);
  for (const client of clients) expect((await client.closed()).code).toBe(4401);
});
