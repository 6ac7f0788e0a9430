import { afterAll, beforeAll, expect, test } from 'vitest';
import { brokenPlaces, type Client, connectClient, linesOf } from '../helpers/client.js';
import { eventually } from '../helpers/condition.js';
import { insertServer, numberedOutput, type ServerRow, storedLines } from '../helpers/console.js';
import type { DocumentedAgent } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import type { TestUser } from '../helpers/panel.js';

const WRITTEN_AHEAD_MAX_LINES = 500;

let panel: PanelWithDoors;
let owner: TestUser;
let node: { id: string; secret: string };
let agent: DocumentedAgent;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  owner = await panel.createUser();
  node = await panel.createNode();
  agent = await panel.connect({
    nodeId: node.id,
    token: node.secret,
    handshake: { capabilities: ['console-sequence'] },
  });
  await agent.next('node_handshake_response');
});

afterAll(() => panel.close());

const newServer = () => insertServer(panel.context.database, { nodeId: node.id, ownerId: owner.id });
const connect = (): Promise<Client> => connectClient({ port: panel.port, token: owner.token });

function say(server: ServerRow, firstSeq: number, count: number, length = 0): void {
  const texts = Array.from({ length: count }, (_, index) => `line ${firstSeq + index}`.padEnd(length, '.'));
  agent.send(numberedOutput(server.id, firstSeq, texts));
}

function acknowledged(server: ServerRow, seq: number): Promise<unknown> {
  return agent.next('console_ack', (message) => message.serverId === server.id && message.seq >= seq);
}

test('a client that speaks right after open gets its subscription, in the query or in the first message', async () => {
  const server = await newServer();
  const subscribe = { type: 'subscribe', serverId: server.id, events: ['server_log'] };
  const byQuery = await connectClient({ port: panel.port, token: owner.token, first: [subscribe] });
  const byMessage = await connectClient({
    port: panel.port,
    first: [{ type: 'authenticate', token: owner.token }, subscribe],
  });
  expect(await byMessage.next('authenticated')).toEqual({ type: 'authenticated', userId: owner.id });
  for (const client of [byQuery, byMessage]) {
    expect(await client.next('subscribed')).toEqual({
      type: 'subscribed',
      serverId: server.id,
      events: ['server_log'],
      seq: 0,
      state: 'running',
    });
  }
  say(server, 1, 2);
  for (const client of [byQuery, byMessage]) {
    expect(await client.next('server_log')).toEqual({
      type: 'server_log',
      serverId: server.id,
      stream: 'stdout',
      data: 'line 1\nline 2\n',
      timestamp: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3,6}Z$/),
      firstSeq: 1,
      seq: 2,
    });
    await client.close();
  }
});

test('who asks for what he missed gets it, then what is new, each line once and in order, while lines are written', async () => {
  const server = await newServer();
  const watcher = await connect();
  await watcher.subscribe(server.id, { since: 0 });
  let written = 0;
  let isWriting = true;
  const writing = (async () => {
    while (isWriting) {
      // No faster than a busy machine can read: whoever falls far behind is rightly told of a gap.
      await watcher.untilSeq(written - WRITTEN_AHEAD_MAX_LINES);
      const count = 1 + (written % 23);
      say(server, written + 1, count);
      written += count;
      await new Promise((resolve) => setImmediate(resolve));
    }
  })();
  try {
    for (let round = 0; round < 25; round += 1) {
      await watcher.untilSeq(Math.min(written, 100 * (round + 1)));
      const since = Math.max(0, written - 61 * round);
      const client = await connect();
      await client.subscribe(server.id, { since });
      await client.untilSeq(written + 50);
      const from =
        Math.min(since, client.entries[0]?.kind === 'line' ? client.entries[0].seq - 1 : since) + 1;
      expect(brokenPlaces(client.entries, from)).toEqual([]);
      expect(from).toBeLessThanOrEqual(since + 1);
      for (const entry of client.entries) {
        expect(entry).toEqual({
          kind: 'line',
          seq: expect.any(Number),
          stream: 'stdout',
          text: `line ${entry.kind === 'line' && entry.seq}`,
        });
      }
      await client.close();
    }
    isWriting = false;
    await writing;
    await watcher.untilSeq(written);
    expect(brokenPlaces(watcher.entries, 1)).toEqual([]);
    await watcher.close();
  } finally {
    isWriting = false;
    await writing;
  }
  await acknowledged(server, written);
  expect(await storedLines(panel.context.database, server.id)).toHaveLength(written);
});

test('who has lines that the panel lost before storing them is not given them again', async () => {
  const server = await newServer();
  say(server, 1, 3);
  await acknowledged(server, 3);
  const [inTheMiddle, atTheEnd] = [await connect(), await connect()];
  await inTheMiddle.subscribe(server.id, { since: 5 });
  await atTheEnd.subscribe(server.id, { since: 7 });
  say(server, 4, 4);
  await inTheMiddle.untilSeq(7);
  say(server, 8, 2);
  for (const client of [inTheMiddle, atTheEnd]) await client.untilSeq(9);
  expect(linesOf(inTheMiddle.entries)).toEqual(['line 6', 'line 7', 'line 8', 'line 9']);
  expect(linesOf(atTheEnd.entries)).toEqual(['line 8', 'line 9']);
  for (const client of [inTheMiddle, atTheEnd]) await client.close();
});

test('a second subscription replaces the first, and without one nothing comes', async () => {
  const server = await newServer();
  const client = await connect();
  await client.subscribe(server.id);
  say(server, 1, 3);
  await client.untilSeq(3);
  const again = await client.subscribe(server.id, { since: 1 });
  expect(again).toMatchObject({ seq: 3 });
  await eventually('the replay', () => client.entries.length === 5);
  say(server, 4, 1);
  await client.untilSeq(4);
  expect(client.entries.map((entry) => entry.kind === 'line' && entry.seq)).toEqual([1, 2, 3, 2, 3, 4]);
  client.send({ type: 'unsubscribe', serverId: server.id });
  expect(await client.next('unsubscribed')).toEqual({ type: 'unsubscribed', serverId: server.id });
  say(server, 5, 1);
  await acknowledged(server, 5);
  client.send({ type: 'unsubscribe', serverId: server.id });
  await client.next('unsubscribed');
  expect(client.entries).toHaveLength(6);
  await client.close();
});

test('what is too long ago, was never stored or never came is announced as a gap', async () => {
  const server = await newServer();
  for (let seq = 1; seq <= 12_000; seq += 1000) say(server, seq, 1000);
  agent.send({ type: 'console_gap', serverId: server.id, from: 12_001, to: 12_500, reason: 'throttled' });
  say(server, 12_501, 10);
  await acknowledged(server, 12_510);
  await panel.context.database.pool.query(
    'DELETE FROM history.server_logs WHERE "serverId" = $1 AND "seq" BETWEEN 11000 AND 11009',
    [server.id],
  );
  const client = await connect();
  await client.subscribe(server.id, { since: 5 });
  await client.untilSeq(12_510);
  expect(client.entries.filter(({ kind }) => kind === 'gap')).toEqual([
    { kind: 'gap', from: 6, to: 2510, reason: 'too_old' },
    { kind: 'gap', from: 11_000, to: 11_009, reason: 'not_stored' },
    { kind: 'gap', from: 12_001, to: 12_500, reason: 'not_stored' },
  ]);
  expect(brokenPlaces(client.entries, 6)).toEqual([]);
  agent.send({ type: 'console_gap', serverId: server.id, from: 12_511, to: 12_600, reason: 'throttled' });
  say(server, 12_601, 1);
  await client.untilSeq(12_601);
  expect(client.entries.at(-2)).toEqual({ kind: 'gap', from: 12_511, to: 12_600, reason: 'throttled' });
  await client.close();
});

test('a client that claims to have seen more than there is gets what comes', async () => {
  const server = await newServer();
  const client = await connect();
  await client.subscribe(server.id, { since: 1_000_000 });
  say(server, 1, 1);
  await client.untilSeq(1);
  expect(linesOf(client.entries)).toEqual(['line 1']);
  await client.close();
});

test('a client that stops reading is told what it missed; another one gets everything meanwhile', async () => {
  const server = await newServer();
  const slow = await connect();
  const healthy = await connect();
  await slow.subscribe(server.id);
  await healthy.subscribe(server.id);
  slow.socket.pause();
  const before = process.memoryUsage().rss;
  const LINES = 60_000;
  for (let seq = 1; seq <= LINES; seq += 500) {
    say(server, seq, 500, 1000);
    await healthy.untilSeq(seq + 499);
  }
  expect(brokenPlaces(healthy.entries, 1)).toEqual([]);
  expect(process.memoryUsage().rss - before).toBeLessThan(400 * 1024 * 1024);
  slow.socket.resume();
  await slow.untilSeq(LINES);
  say(server, LINES + 1, 1);
  await slow.untilSeq(LINES + 1);
  expect(brokenPlaces(slow.entries, 1)).toEqual([]);
  expect(slow.entries).toContainEqual(expect.objectContaining({ kind: 'gap', reason: 'slow_subscriber' }));
  expect(slow.entries.at(-1)).toMatchObject({ kind: 'line', text: `line ${LINES + 1}` });
  await slow.close();
  await healthy.close();
});

test('a client that was slow for a moment gets the lines that it missed', async () => {
  const server = await newServer();
  const client = await connect();
  const healthy = await connect();
  await client.subscribe(server.id);
  await healthy.subscribe(server.id);
  client.socket.pause();
  const LINES = 15_000;
  for (let seq = 1; seq <= LINES; seq += 500) {
    say(server, seq, 500, 1000);
    await healthy.untilSeq(seq + 499);
  }
  client.socket.resume();
  await client.untilSeq(LINES);
  expect(brokenPlaces(client.entries, 1)).toEqual([]);
  expect(client.entries.filter(({ kind }) => kind === 'gap')).toEqual([]);
  await client.close();
  await healthy.close();
});

test('states, statistics and the progress of an installation reach those who asked for them', async () => {
  const server = await newServer();
  const all = await connect();
  const logsOnly = await connect();
  expect((await all.subscribe(server.id)).events).toEqual([
    'server_log',
    'server_state_update',
    'resource_stats',
    'file_task',
  ]);
  await logsOnly.subscribe(server.id, { events: ['server_log'] });
  const usage = { cpu: 12.5, memoryMb: 100, networkSent: 1, networkReceived: 2 };
  agent.send({ type: 'resource_stats', serverId: server.id, ...usage });
  expect(await all.next('resource_stats')).toEqual({ type: 'resource_stats', serverId: server.id, ...usage });
  say(server, 1, 1);
  agent.report(server.id, 'stopped', { reason: 'exited by itself with code 0', exitCode: 0 });
  expect(await all.next('server_state_update')).toMatchObject({
    serverId: server.id,
    state: 'stopped',
    previousState: 'running',
    exitCode: 0,
  });
  await logsOnly.untilSeq(1);
  say(server, 2, 1);
  await logsOnly.untilSeq(2);
  expect(logsOnly.received.map(({ type }) => type)).toEqual(['server_log', 'server_log']);
  await all.close();
  await logsOnly.close();
});

test('what is typed reaches the agent with a line end; errors name the server', async () => {
  const server = await newServer();
  const client = await connect();
  client.send({ type: 'console_input', serverId: server.id, data: 'say hello\n' });
  client.send({ type: 'console_input', serverId: server.id, data: 'say again' });
  expect(await agent.next('console_input')).toEqual({
    type: 'console_input',
    serverId: server.id,
    data: 'say hello\n',
  });
  expect(await agent.next('console_input')).toMatchObject({ data: 'say again\n' });
  client.send({ type: 'console_input', serverId: server.id, data: 'nul \0' });
  expect(await client.next('error')).toMatchObject({ code: 'request.invalid', serverId: server.id });
  const { prisma } = panel.context.database;
  await prisma.server.update({ where: { id: server.id }, data: { status: 'stopped' } });
  client.send({ type: 'console_input', serverId: server.id, data: 'say nobody\n' });
  expect(await client.next('error')).toMatchObject({ code: 'server.not_running', serverId: server.id });
  await prisma.server.update({ where: { id: server.id }, data: { suspendedAt: new Date() } });
  client.send({ type: 'console_input', serverId: server.id, data: 'say nobody\n' });
  expect(await client.next('error')).toMatchObject({ code: 'server.suspended', serverId: server.id });
  await client.close();
});
