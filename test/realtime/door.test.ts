import { randomUUID } from 'node:crypto';
import { connect as connectTcp } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
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

const connect = () => connectClient({ port: panel.port, token: owner.token });

test('a wrong token in the address is 401 before the upgrade', async () => {
  expect(await refusedUpgrade(panel.port, '/ws?token=nonsense')).toBe(401);
  expect(await refusedUpgrade(panel.port, '/ws?token=')).toBe(401);
  expect(await refusedUpgrade(panel.port, `/ws?token=${owner.token}&token=${owner.token}`)).toBe(400);
});

test('a wrong token in the first message, or another message first, is told and closed with 4401', async () => {
  for (const first of [
    { type: 'authenticate', token: 'nonsense' },
    { type: 'subscribe', serverId: server.id },
  ]) {
    const client = await connectClient({ port: panel.port, first: [first] });
    expect((await client.next('error')).code).toMatch(/^auth\./);
    expect((await client.closed()).code).toBe(4401);
  }
});

test('nonsense is answered with an error and the connection stays', async () => {
  const client = await connect();
  client.sendRaw('{"type":');
  expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  client.sendRaw('[]');
  expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  client.sendRaw(Buffer.from([1, 2, 3]));
  expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  client.send({ type: 'make_coffee' });
  expect(await client.next('error')).toMatchObject({ code: 'gateway.type_unknown' });
  client.send({ type: 'subscribe', serverId: 7 });
  expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  client.send({ type: 'authenticate', token: owner.token });
  expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  expect(await client.subscribe(server.id)).toMatchObject({ serverId: server.id });
  await client.close();
});

test('a frame of more than 64 KiB ends the connection with 1009', async () => {
  const client = await connect();
  client.sendRaw(JSON.stringify({ type: 'console_input', serverId: server.id, data: 'x'.repeat(65_536) }));
  expect((await client.closed()).code).toBe(1009);
});

test('a NUL in the id of a server is a message that is not valid', async () => {
  const client = await connect();
  for (const type of ['subscribe', 'unsubscribe', 'console_input']) {
    client.send({ type, serverId: 'a\0b', data: 'say hello\n' });
    expect(await client.next('error')).toMatchObject({ code: 'gateway.frame_invalid' });
  }
  await client.close();
});

test('a server that is not there and one that is not his are the same error', async () => {
  const stranger = await panel.createUser();
  const client = await connectClient({ port: panel.port, token: stranger.token });
  client.send({ type: 'subscribe', serverId: 'nothing' });
  const missing = await client.next('error');
  client.send({ type: 'subscribe', serverId: server.id });
  const foreign = await client.next('error');
  expect(missing).toMatchObject({ code: 'server.not_found', serverId: 'nothing' });
  expect({ ...foreign, serverId: 'nothing' }).toEqual(missing);
  await client.close();
});

test('who may see a server but not its logs is refused them when he asks, and given the rest when he does not', async () => {
  const reader = await panel.createUser(['server.read']);
  const client = await connectClient({ port: panel.port, token: reader.token });
  client.send({ type: 'subscribe', serverId: server.id, events: ['server_log'] });
  expect(await client.next('error')).toMatchObject({ code: 'permission.denied', serverId: server.id });
  expect((await client.subscribe(server.id)).events).toEqual(['server_state_update', 'resource_stats']);
  await client.close();
});

test('one connection takes 500 subscriptions at most', async () => {
  const client = await connect();
  const { prisma } = panel.context.database;
  const { id: _, ...row } = await prisma.server.findUniqueOrThrow({ where: { id: server.id } });
  const servers = await prisma.server.createManyAndReturn({
    data: Array.from({ length: 501 }, () => ({ ...row, environment: {}, uuid: randomUUID() })),
    select: { id: true },
  });
  for (const { id } of servers) client.send({ type: 'subscribe', serverId: id });
  const error = await client.next('error');
  expect(error).toMatchObject({ code: 'gateway.too_many_subscriptions', serverId: servers.at(-1)?.id });
  await client.close();
});

test('one address holds 50 connections at most that have not said who they are', async () => {
  const strangers = await Promise.all(Array.from({ length: 50 }, () => connectClient({ port: panel.port })));
  expect(await refusedUpgrade(panel.port, '/ws')).toBe(429);
  const known = await connect();
  const [leaving] = strangers;
  leaving?.send({ type: 'authenticate', token: owner.token });
  await leaving?.next('authenticated');
  const next = await connectClient({ port: panel.port });
  for (const client of [...strangers, known, next]) await client.close();
});

test('a flood of messages is told once a second, then closed with 4429; others do not notice', async () => {
  const client = await connect();
  const other = await connect();
  for (let count = 0; count < 3000; count += 1) client.send({ type: 'unsubscribe', serverId: server.id });
  expect((await client.closed()).code).toBe(4429);
  const errors = client.received.filter(({ type }) => type === 'error');
  expect(errors.length).toBeLessThan(10);
  expect(errors[0]).toMatchObject({ code: 'gateway.too_many_messages' });
  expect(await other.subscribe(server.id)).toMatchObject({ serverId: server.id });
  await other.close();
});

test('a socket that is cut in the middle of the upgrade harms nobody', async () => {
  for (let count = 0; count < 20; count += 1) {
    const socket = connectTcp(panel.port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(
      `GET /ws?token=${owner.token} HTTP/1.1\r\nHost: panel\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
      () => socket.resetAndDestroy(),
    );
  }
  const client = await connect();
  expect(await client.subscribe(server.id)).toMatchObject({ serverId: server.id });
  await client.close();
});

test('when the panel stops every client is sent away with 1001, and new ones are refused', async () => {
  const stopping = await startPanelWithDoors();
  const user = await stopping.createUser();
  const client = await connectClient({ port: stopping.port, token: user.token });
  const stranger = await connectClient({ port: stopping.port });
  await stopping.sockets.close();
  expect((await client.closed()).code).toBe(1001);
  expect((await stranger.closed()).code).toBe(1001);
  expect(await refusedUpgrade(stopping.port, `/ws?token=${user.token}`)).toBe(503);
  await stopping.close();
});
