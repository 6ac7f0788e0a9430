import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { SYSTEM_ACTOR } from '../../src/lib/actor.js';
import { CONSOLE_LINE_MAX_BYTES } from '../../src/protocol/limits.js';
import { eventually } from '../helpers/condition.js';
import {
  createConnection,
  insertServer,
  numberedOutput,
  openConsole,
  openDatabase,
  storedLines,
} from '../helpers/console.js';
import { createTestDatabase, type TestDatabase } from '../helpers/database.js';
import { startTcpProxy } from '../helpers/tcp-proxy.js';

let testDatabase: TestDatabase;
let database: ReturnType<typeof openDatabase>;

beforeAll(async () => {
  testDatabase = await createTestDatabase();
  database = openDatabase(testDatabase.url);
});

afterAll(async () => {
  await database.close();
  await testDatabase.drop();
});

async function openServer() {
  const panel = openConsole(database);
  const server = await insertServer(database);
  const connection = createConnection(server.nodeId);
  panel.agents.attach(connection);
  await panel.service.resumePoints([server.id]);
  return { ...panel, server, connection };
}

test('numbered lines are published at once, stored once in order, and then acknowledged', async () => {
  const { service, server, connection, lines } = await openServer();
  service.record(connection, numberedOutput(server.id, 1, ['one', '', 'three "quoted" \\ ünïcödé 🎮']));
  service.record(connection, { ...numberedOutput(server.id, 4, ['four']), stream: 'stderr' });
  expect(lines.map(({ firstSeq, seq }) => [firstSeq, seq])).toEqual([
    [1, 3],
    [4, 4],
  ]);
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 4);
  const stored = await storedLines(database, server.id);
  expect(stored.map(({ seq, data, stream }) => [seq, data, stream])).toEqual([
    [1, 'one', 'stdout'],
    [2, '', 'stdout'],
    [3, 'three "quoted" \\ ünïcödé 🎮', 'stdout'],
    [4, 'four', 'stderr'],
  ]);
  expect(new Set(stored.map(({ at }) => at)).size).toBe(4);
});

test('lines that are sent again are not taken again, and acknowledged again', async () => {
  const { service, server, connection, lines } = await openServer();
  service.record(connection, numberedOutput(server.id, 1, ['a', 'b', 'c']));
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 3);
  connection.sent.length = 0;
  service.record(connection, numberedOutput(server.id, 1, ['a', 'b']));
  service.record(connection, numberedOutput(server.id, 2, ['b', 'c', 'd', 'e']));
  expect(lines.map(({ firstSeq, seq, data }) => [firstSeq, seq, data])).toEqual([
    [1, 3, 'a\nb\nc\n'],
    [4, 5, 'd\ne\n'],
  ]);
  expect(connection.acknowledged(server.id)).toBe(3);
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 5);
  const stored = await storedLines(database, server.id);
  expect(stored.map(({ data }) => data)).toEqual(['a', 'b', 'c', 'd', 'e']);
});

test('numbers that are left out are announced, with the reason when the agent said one', async () => {
  const { service, server, connection, gaps } = await openServer();
  service.record(connection, numberedOutput(server.id, 1, ['a']));
  service.record(connection, numberedOutput(server.id, 5, ['e']));
  const gap = {
    type: 'console_gap' as const,
    serverId: server.id,
    from: 6,
    to: 1000,
    reason: 'throttled' as const,
  };
  service.recordGap(connection, gap);
  service.recordGap(connection, gap);
  service.record(connection, numberedOutput(server.id, 1001, ['f']));
  expect(gaps).toEqual([
    { serverId: server.id, from: 2, to: 4, reason: 'agent_restarted' },
    { serverId: server.id, from: 6, to: 1000, reason: 'throttled' },
  ]);
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 1001);
  expect((await storedLines(database, server.id)).map(({ seq }) => seq)).toEqual([1, 5, 1001]);
});

test('a gap at the end is acknowledged too, and the agent goes on after it', async () => {
  const { service, server, connection } = await openServer();
  service.recordGap(connection, {
    type: 'console_gap',
    serverId: server.id,
    from: 1,
    to: 5_000_000_000,
    reason: 'buffer_overflow',
  });
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) > 0);
  const points = await openConsole(database).service.resumePoints([server.id]);
  expect(points.get(server.id)).toBe(5_000_000_000);
});

test('numbers far beyond the last one are not taken, and the console goes on where it was', async () => {
  const { service, server, connection, gaps, lines } = await openServer();
  service.record(connection, numberedOutput(server.id, 1, ['a']));
  const gap = { type: 'console_gap' as const, serverId: server.id, reason: 'throttled' as const };
  service.recordGap(connection, { ...gap, from: 2, to: Number.MAX_SAFE_INTEGER - 5 });
  service.record(connection, numberedOutput(server.id, Number.MAX_SAFE_INTEGER, ['far']));
  service.record(connection, numberedOutput(server.id, 2, ['b']));
  expect(gaps).toEqual([]);
  expect(lines.map(({ seq, data }) => [seq, data])).toEqual([
    [1, 'a\n'],
    [2, 'b\n'],
  ]);
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 2);
});

test('a console whose numbers are used up takes no more lines and stays where its agent can go on', async () => {
  const { service, server, connection, lines } = await openServer();
  await database.pool.query('UPDATE "ServerConsole" SET "lastSeq" = $2 WHERE "serverId" = $1', [
    server.id,
    String(2n ** 53n),
  ]);
  expect((await service.resumePoints([server.id])).get(server.id)).toBe(Number.MAX_SAFE_INTEGER);
  const { timestamp: _, seq: _seq, firstSeq: _firstSeq, ...unnumbered } = numberedOutput(server.id, 1, ['a']);
  service.record(connection, unnumbered);
  expect(lines).toEqual([]);
  expect(await service.lastSeq(server.id)).toBe(Number.MAX_SAFE_INTEGER);
});

test('what PostgreSQL would refuse is cleaned, and lines that do not fit their numbers are not taken', async () => {
  const { service, server, connection, gaps } = await openServer();
  service.record(connection, numberedOutput(server.id, 1, ['nul \0 and half \ud83d a pair']));
  service.record(connection, { ...numberedOutput(server.id, 2, ['one', 'two']), firstSeq: 3 });
  service.record(connection, { ...numberedOutput(server.id, 2, ['no end']), data: 'no end' });
  service.record(connection, numberedOutput(server.id, 4, ['good']));
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 4);
  expect((await storedLines(database, server.id)).map(({ seq, data }) => [seq, data])).toEqual([
    [1, 'nul  and half \ufffd a pair'],
    [4, 'good'],
  ]);
  expect(gaps).toEqual([{ serverId: server.id, from: 2, to: 3, reason: 'agent_restarted' }]);
});

test('an agent without numbers sends any pieces: whole lines are made, numbered and cut at the limit', async () => {
  const { service, server, lines } = await openServer();
  const connection = createConnection(server.nodeId, []);
  const send = (data: string) =>
    service.record(connection, { type: 'console_output', serverId: server.id, stream: 'stdout', data });
  send('first li');
  expect(lines).toEqual([]);
  send('ne\nsecond line\nPassword: ');
  expect(lines).toMatchObject([{ firstSeq: 1, seq: 2, data: 'first line\nsecond line\n' }]);
  await eventually('the prompt becomes a line', () => lines.length === 2);
  expect(lines[1]).toMatchObject({ firstSeq: 3, seq: 3, data: 'Password: \n' });
  send(`${'ü'.repeat(CONSOLE_LINE_MAX_BYTES)}\n`);
  expect(lines[2]).toMatchObject({ firstSeq: 4, seq: 5 });
  expect(lines[2]?.data.replaceAll('\n', '')).toBe('ü'.repeat(CONSOLE_LINE_MAX_BYTES));
  await service.close();
  expect(await storedLines(database, server.id)).toHaveLength(5);
  expect(connection.sent).toEqual([]);
});

test('what an agent without numbers had begun is a line when it leaves, and its next connection numbers on', async () => {
  const { service, bus, agents, server, lines, connection: numbering } = await openServer();
  const connection = createConnection(server.nodeId, []);
  const output = { type: 'console_output', serverId: server.id, stream: 'stdout' } as const;
  service.record(connection, { ...output, data: 'a\nunfinished' });
  agents.detach(numbering);
  bus.emit('node.disconnected', { nodeId: server.nodeId });
  expect(lines.map(({ data }) => data)).toEqual(['a\n', 'unfinished\n']);
  await service.resumePoints([server.id]);
  service.record(connection, { ...output, data: 'b\n' });
  expect(lines.at(-1)).toMatchObject({ firstSeq: 3, seq: 3 });
  await service.close();
  expect((await storedLines(database, server.id)).map(({ data }) => data)).toEqual(['a', 'unfinished', 'b']);
});

test('a server that speaks for the first time after the handshake loses nothing', async () => {
  const panel = openConsole(database);
  const server = await insertServer(database);
  const connection = createConnection(server.nodeId);
  panel.agents.attach(connection);
  for (let seq = 1; seq <= 20; seq += 1) {
    panel.service.record(connection, numberedOutput(server.id, seq, [`line ${seq}`]));
  }
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 20);
  expect((await storedLines(database, server.id)).map(({ seq }) => seq)).toHaveLength(20);
  expect(connection.pauses).toBe(0);
});

test('two panels that are given the same lines store each once', async () => {
  const { server, ...first } = await openServer();
  const second = openConsole(database);
  await second.service.resumePoints([server.id]);
  const connections = [first, second].map((panel) => {
    const connection = createConnection(server.nodeId);
    panel.agents.attach(connection);
    return { panel, connection };
  });
  const LINES = 5000;
  for (const { panel, connection } of connections) {
    // Cut differently, as after a reconnect.
    const step = panel === second ? 7 : 10;
    for (let seq = 1; seq <= LINES; seq += step) {
      const texts = Array.from(
        { length: Math.min(step, LINES - seq + 1) },
        (_, index) => `line ${seq + index}`,
      );
      panel.service.record(connection, numberedOutput(server.id, seq, texts));
      if (seq % 100 < step) await delay(1);
    }
  }
  for (const { connection } of connections) {
    await eventually('the acknowledgement', () => connection.acknowledged(server.id) === LINES);
  }
  const stored = await storedLines(database, server.id);
  expect(stored.map(({ seq, data }) => `${seq} ${data}`)).toEqual(
    Array.from({ length: LINES }, (_, index) => `${index + 1} line ${index + 1}`),
  );
  const times = stored.map(({ at }) => at);
  expect(new Set(times).size).toBe(LINES);
});

test('while PostgreSQL is away nothing is acknowledged, and afterwards everything is stored once', async () => {
  const target = new URL(testDatabase.url);
  const proxy = await startTcpProxy({ host: target.hostname, port: Number(target.port) });
  const url = new URL(testDatabase.url);
  url.hostname = '127.0.0.1';
  url.port = String(proxy.port);
  const throughProxy = openDatabase(url.href);
  const server = await insertServer(database);
  const panel = openConsole(throughProxy);
  const connection = createConnection(server.nodeId);
  panel.agents.attach(connection);
  await panel.service.resumePoints([server.id]);
  panel.service.record(connection, numberedOutput(server.id, 1, ['before']));
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 1);

  await proxy.cut();
  for (let seq = 2; seq <= 200; seq += 1) {
    panel.service.record(connection, numberedOutput(server.id, seq, [`line ${seq}`]));
  }
  expect(panel.lines.at(-1)).toMatchObject({ seq: 200 });
  await eventually('a failure to store them', () =>
    panel.warnings.some((line) => line.includes('will retry')),
  );
  expect(connection.acknowledged(server.id)).toBe(1);

  await proxy.restore();
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 200);
  expect((await storedLines(database, server.id)).map(({ seq }) => seq)).toEqual(
    Array.from({ length: 200 }, (_, index) => index + 1),
  );
  await panel.service.close();
  await throughProxy.close();
  await proxy.close();
});

test('a flood that cannot be stored pauses a numbering agent and loses nothing', async () => {
  const { service, server, connection } = await openServer();
  const lock = await database.pool.connect();
  await lock.query('BEGIN');
  await lock.query('SELECT 1 FROM "ServerConsole" WHERE "serverId" = $1 FOR UPDATE', [server.id]);
  const text = 'x'.repeat(1000);
  let seq = 1;
  while (connection.pauses === 0 && seq < 100_000) {
    service.record(
      connection,
      numberedOutput(
        server.id,
        seq,
        Array.from({ length: 100 }, () => text),
      ),
    );
    seq += 100;
  }
  expect(connection.pauses).toBe(1);
  expect(connection.acknowledged(server.id)).toBe(0);
  await lock.query('ROLLBACK');
  lock.release();
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === seq - 1);
  expect(connection.pauses).toBe(0);
  expect(await storedLines(database, server.id)).toHaveLength(seq - 1);
});

test('an agent that goes on regardless is sent away, and says again later what was not taken', async () => {
  const { service, agents, server, connection, gaps } = await openServer();
  const lock = await database.pool.connect();
  await lock.query('BEGIN');
  await lock.query('SELECT 1 FROM "ServerConsole" WHERE "serverId" = $1 FOR UPDATE', [server.id]);
  const texts = Array.from({ length: 100 }, () => 'x'.repeat(1000));
  const LINES = 50_000;
  for (let seq = 1; seq <= LINES; seq += 100)
    service.record(connection, numberedOutput(server.id, seq, texts));
  expect(connection.closedWith).toBe(4413);
  await lock.query('ROLLBACK');
  lock.release();

  const next = createConnection(server.nodeId);
  agents.attach(next);
  const since = (await service.resumePoints([server.id])).get(server.id) ?? 0;
  expect(since).toBeLessThan(LINES);
  for (let seq = since + 1; seq <= LINES; seq += 100) {
    service.record(next, numberedOutput(server.id, seq, texts));
    await eventually('room', () => next.pauses === 0);
  }
  await eventually('the acknowledgement', () => next.acknowledged(server.id) === LINES);
  expect(await storedLines(database, server.id)).toHaveLength(LINES);
  expect(gaps).toEqual([]);
});

test('a flood of an agent without numbers that cannot be stored is bounded, and what is lost is announced', async () => {
  const { service, server, gaps, lines } = await openServer();
  const connection = createConnection(server.nodeId, []);
  const lock = await database.pool.connect();
  await lock.query('BEGIN');
  await lock.query('SELECT 1 FROM "ServerConsole" WHERE "serverId" = $1 FOR UPDATE', [server.id]);
  const data = `${'x'.repeat(999)}\n`.repeat(100);
  for (let count = 0; count < 400; count += 1) {
    service.record(connection, { type: 'console_output', serverId: server.id, stream: 'stdout', data });
  }
  expect(lines).toHaveLength(400);
  expect(gaps.every(({ reason }) => reason === 'not_stored')).toBe(true);
  const lost = gaps.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  expect(lost).toBeGreaterThan(20_000);
  await lock.query('ROLLBACK');
  lock.release();
  await service.close();
  const stored = await storedLines(database, server.id);
  expect(stored.length + lost).toBe(40_000);
  const missing = new Set(
    gaps.flatMap(({ from, to }) => Array.from({ length: to - from + 1 }, (_, i) => from + i)),
  );
  expect(stored.some(({ seq }) => missing.has(seq))).toBe(false);
});

test('one batch that PostgreSQL refuses holds up nobody else and is announced', async () => {
  const { service, server, connection, gaps } = await openServer();
  await database.pool.query(
    `ALTER TABLE history.server_logs ADD CONSTRAINT "no_poison" CHECK ("data" <> 'poison')`,
  );
  try {
    service.record(connection, numberedOutput(server.id, 1, ['a']));
    service.record(connection, numberedOutput(server.id, 2, ['poison', 'with it']));
    service.record(connection, numberedOutput(server.id, 4, ['b']));
    await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 4);
  } finally {
    await database.pool.query('ALTER TABLE history.server_logs DROP CONSTRAINT "no_poison"');
  }
  expect((await storedLines(database, server.id)).map(({ seq }) => seq)).toEqual([1, 4]);
  expect(gaps).toEqual([{ serverId: server.id, from: 2, to: 3, reason: 'not_stored' }]);
});

test('lines of a server that is deleted meanwhile are dropped and hold up nobody', async () => {
  const { service, bus, server, connection } = await openServer();
  const other = await insertServer(database);
  await service.resumePoints([other.id]);
  await database.prisma.server.delete({ where: { id: server.id } });
  service.record(connection, numberedOutput(server.id, 1, ['gone']));
  bus.emit('server.deleted', { serverId: server.id });
  const otherConnection = createConnection(other.nodeId);
  service.record(otherConnection, numberedOutput(other.id, 1, ['here']));
  await service.close();
  expect(await storedLines(database, server.id)).toEqual([]);
  expect(await storedLines(database, other.id)).toHaveLength(1);
});

test('a frame of a hundred thousand empty lines is stored', async () => {
  const { service, server, connection } = await openServer();
  service.record(
    connection,
    numberedOutput(
      server.id,
      1,
      Array.from({ length: 100_000 }, () => ''),
    ),
  );
  await eventually('the acknowledgement', () => connection.acknowledged(server.id) === 100_000);
  const [newest] = await service.read(SYSTEM_ACTOR, server.id, { limit: 1 });
  expect(newest).toMatchObject({ seq: 100_000, data: '\n' });
});

test('the oldest timestamp of a page gives the page before it: every line once, also while more are written', async () => {
  const { service, server, connection } = await openServer();
  const LINES = 2500;
  for (let seq = 1; seq <= LINES; seq += 50) {
    const texts = Array.from({ length: 50 }, (_, index) => `line ${seq + index}`);
    service.record(connection, numberedOutput(server.id, seq, texts));
  }
  const pages: number[][] = [];
  let before: string | undefined;
  let written = LINES;
  for (;;) {
    const query = { limit: 300, ...(before !== undefined && { before }) };
    const page = await service.read(SYSTEM_ACTOR, server.id, query);
    if (page.length === 0) break;
    pages.unshift(page.map(({ seq }) => seq));
    before = page[0]?.timestamp;
    written += 1;
    service.record(connection, numberedOutput(server.id, written, ['newer']));
  }
  expect(pages.flat()).toEqual(Array.from({ length: LINES }, (_, index) => index + 1));
});
