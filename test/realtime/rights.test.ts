import { afterAll, beforeAll, expect, test } from 'vitest';
import { connectClient } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import { insertServer, type ServerRow } from '../helpers/console.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

let panel: PanelWithDoors;

beforeAll(async () => {
  panel = await startPanelWithDoors();
});

afterAll(() => panel.close());

async function watch(): Promise<{
  user: TestUser;
  server: ServerRow;
  client: Awaited<ReturnType<typeof connectClient>>;
}> {
  const user = await panel.createUser();
  const server = await insertServer(panel.context.database, { ownerId: user.id });
  const client = await connectClient({ port: panel.port, token: user.token });
  await client.subscribe(server.id);
  return { user, server, client };
}

test('logging out ends the connections of that session and no other', async () => {
  const { user, client } = await watch();
  const other = await watch();
  expect((await panel.post('/api/auth/logout', undefined, user.token)).status).toBeLessThan(300);
  expect((await client.closed()).code).toBe(4401);
  expect(other.client.isClosed()).toBe(false);
  await other.client.close();
});

test('a session that is revoked elsewhere ends its connections within two seconds', async () => {
  const { user, client } = await watch();
  const { pool } = panel.context.database;
  const revokedAt = Date.now();
  await pool.query('UPDATE "Session" SET "revokedAt" = now() WHERE "userId" = $1', [user.id]);
  expect((await client.closed()).code).toBe(4401);
  expect(Date.now() - revokedAt).toBeLessThan(2000);
  expect(await client.next('error')).toMatchObject({ code: 'auth.invalid_token' });
});

test('a disabled account ends its connections within two seconds', async () => {
  const { user, client } = await watch();
  const disabledAt = Date.now();
  await panel.context.database.prisma.user.update({
    where: { id: user.id },
    data: { disabledAt: new Date() },
  });
  expect((await client.closed()).code).toBe(4401);
  expect(Date.now() - disabledAt).toBeLessThan(2000);
});

test('who loses a server is told and hears no more of it, but stays connected', async () => {
  const { server, client } = await watch();
  const heir = await panel.createUser();
  const { prisma } = panel.context.database;
  await prisma.server.update({ where: { id: server.id }, data: { ownerId: heir.id } });
  panel.context.bus.emit('access.changed', { serverId: server.id });
  expect(await client.next('unsubscribed')).toEqual({
    type: 'unsubscribed',
    serverId: server.id,
    reason: 'server.not_found',
  });
  client.send({ type: 'subscribe', serverId: server.id });
  expect(await client.next('error')).toMatchObject({ code: 'server.not_found' });
  await client.close();
});

test('what another panel takes away, of which this one does not hear, ends within two seconds', async () => {
  const owned = await watch();
  const kept = await watch();
  const reader = await panel.createUser(['server.read', 'server.logs.read']);
  const client = await connectClient({ port: panel.port, token: reader.token });
  await client.subscribe(kept.server.id);
  const { prisma } = panel.context.database;
  const takenAt = Date.now();
  await prisma.server.update({ where: { id: owned.server.id }, data: { ownerId: kept.user.id } });
  await prisma.role.updateMany({
    where: { users: { some: { userId: reader.id } } },
    data: { permissions: ['server.read'] },
  });
  expect(await owned.client.next('unsubscribed')).toMatchObject({ reason: 'server.not_found' });
  expect(await client.next('unsubscribed')).toMatchObject({ reason: 'permission.denied' });
  expect(Date.now() - takenAt).toBeLessThan(2000);
  expect(kept.client.received.filter(({ type }) => type === 'unsubscribed')).toEqual([]);
  for (const each of [owned.client, kept.client, client]) await each.close();
});

test('who has lost a role at another panel neither types nor begins to watch two seconds later', async () => {
  const { server } = await watch();
  const operator = await panel.createUser(['server.*']);
  const client = await connectClient({ port: panel.port, token: operator.token });
  client.send({ type: 'console_input', serverId: server.id, data: 'list\n' });
  expect(await client.next('error')).toMatchObject({ code: 'node.offline' });
  await panel.context.database.prisma.userRole.deleteMany({ where: { userId: operator.id } });
  const takenAt = Date.now();
  await eventually('what was believed is looked up again', () => Date.now() - takenAt > 1500);
  client.send({ type: 'console_input', serverId: server.id, data: 'op me\n' });
  expect(await client.next('error')).toMatchObject({ code: 'server.not_found' });
  client.send({ type: 'subscribe', serverId: server.id });
  expect(await client.next('error')).toMatchObject({ code: 'server.not_found' });
  await client.close();
});

test('when a role is taken away its servers are, at once', async () => {
  const { server } = await watch();
  const reader = await panel.createUser(['server.read', 'server.logs.read']);
  const client = await connectClient({ port: panel.port, token: reader.token });
  await client.subscribe(server.id);
  await panel.context.database.prisma.userRole.deleteMany({ where: { userId: reader.id } });
  panel.context.bus.emit('access.changed', { userId: reader.id });
  expect(await client.next('unsubscribed')).toMatchObject({ serverId: server.id });
  await client.close();
});

test('a deleted server ends its subscriptions', async () => {
  const { server, client } = await watch();
  panel.context.bus.emit('server.deleted', { serverId: server.id });
  expect(await client.next('unsubscribed')).toMatchObject({ serverId: server.id, reason: 'server.deleted' });
  await client.close();
});
