import { randomUUID } from 'node:crypto';
import { setMaxListeners } from 'node:events';
import type { ServerHttp2Stream } from 'node:http2';
import { PassThrough } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { WORK_LINE_MAX_BYTES, type WorkProgress } from '../../src/protocol/file-works.js';
import { eventually } from '../helpers/condition.js';
import { type Answering, answerJson, connectDataAgent } from '../helpers/data-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

const SERVER = randomUUID();
const REQUEST = { path: '/a.tar.gz', to: '/a' };
const PROGRESS = { kind: 'progress', doneBytes: 5, totalBytes: 10, doneEntries: 1 };
const DONE = { kind: 'done', output: { entries: 2, bytes: 10 } };

let panel: PanelWithDoors;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { HEARTBEAT_INTERVAL_MS: '600' } });
});
afterAll(() => panel.close());

/** A node whose agent answers in the data plane what the test wants. */
async function connect(answering: Answering) {
  const node = await panel.createNode();
  const control = await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  const heartbeats = setInterval(() => control.send({ type: 'heartbeat' }), 200);
  onTestFinished(() => clearInterval(heartbeats));
  const data = await connectDataAgent({ port: panel.port, nodeId: node.id, token: node.secret }, answering);
  return { nodeId: node.id, data };
}

const plane = () => panel.context.filePlane;

function extract(nodeId: string, options: { signal?: AbortSignal; said?: WorkProgress[] } = {}) {
  const { signal, said = [] } = options;
  const onProgress = (progress: WorkProgress) => void said.push(progress);
  return plane().work(nodeId, SERVER, 'extract', REQUEST, { ...(signal && { signal }), onProgress });
}

function answerLines(stream: ServerHttp2Stream, text: string): void {
  stream.respond({ ':status': 200 });
  stream.end(text);
}

const lines = (...values: unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('');

test('work is told of as it goes on, whatever pieces its lines come in, and answers what came of it', async () => {
  const asked: unknown[] = [];
  const { nodeId } = await connect(async (stream, headers) => {
    asked.push(headers[':path'], JSON.parse(String(await buffer(stream))));
    stream.respond({ ':status': 200 });
    for (const byte of lines(PROGRESS, { ...PROGRESS, doneBytes: 10, later: 'more' }, DONE))
      stream.write(byte);
    stream.end('not looked at any more');
  });
  const said: WorkProgress[] = [];
  expect(await extract(nodeId, { said })).toEqual({ entries: 2, bytes: 10 });
  expect(said).toEqual([
    { doneBytes: 5, totalBytes: 10, doneEntries: 1 },
    { doneBytes: 10, totalBytes: 10, doneEntries: 1 },
  ]);
  expect(asked).toEqual([`/servers/${SERVER}/work/extract`, REQUEST]);
});

const HOSTILE = { code: 'archive.hostile_entry', message: '"../x" leads out.' };

test.each<[string, Answering, object]>([
  ['is refused', (stream) => answerJson(stream, HOSTILE, 422), { ...HOSTILE, statusCode: 400 }],
  [
    'fails',
    (stream) => answerLines(stream, lines(PROGRESS, { kind: 'failed', ...HOSTILE })),
    { ...HOSTILE, statusCode: 400 },
  ],
  ['ends without an outcome', (stream) => answerLines(stream, lines(PROGRESS)), { code: 'file.failed' }],
  [
    'ends in the middle of the last line',
    (stream) => answerLines(stream, lines(DONE).trimEnd()),
    { code: 'file.failed' },
  ],
  ['answers what is no line', (stream) => answerLines(stream, 'junk\n'), { code: 'file.failed' }],
  [
    'answers an outcome that is none',
    (stream) => answerLines(stream, lines({ kind: 'done', output: { entries: -1 } })),
    { code: 'file.failed' },
  ],
  [
    'answers a line without an end',
    (stream) => {
      stream.respond({ ':status': 200 });
      stream.write(' '.repeat(WORK_LINE_MAX_BYTES + 1));
    },
    { code: 'file.failed' },
  ],
  [
    'answers a line that is too long',
    (stream) => answerLines(stream, `${' '.repeat(WORK_LINE_MAX_BYTES)}${lines(DONE)}`),
    { code: 'file.failed' },
  ],
  ['breaks off', (stream) => stream.destroy(new Error('the disk is gone')), { code: 'file.failed' }],
])('work that %s says so', async (_how, answering, error) => {
  const { nodeId } = await connect(answering);
  await expect(extract(nodeId)).rejects.toMatchObject(error);
});

test('work ends with its caller, and with its node', async () => {
  const held: ServerHttp2Stream[] = [];
  const { nodeId, data } = await connect((stream) => {
    held.push(stream);
    stream.respond({ ':status': 200 });
    stream.write(lines(PROGRESS));
  });
  const giveUp = new AbortController();
  const said: WorkProgress[] = [];
  const first = extract(nodeId, { signal: giveUp.signal, said });
  await eventually('it goes on', () => said.length === 1);
  giveUp.abort(new Error('enough'));
  await expect(first).rejects.toThrow('enough');
  await eventually('it has stopped', () => held[0]?.destroyed === true);

  const second = extract(nodeId, { said });
  await eventually('it goes on', () => said.length === 2);
  data.socket.destroy();
  await expect(second).rejects.toMatchObject({ code: 'node.offline' });
});

test('work does not take the places of what is quick, nor of transfers', async () => {
  let working = 0;
  const { nodeId } = await connect((stream, headers) => {
    if (!headers[':path']?.includes('/work/')) return answerJson(stream, { entries: [], next: null });
    working += 1;
    stream.respond({ ':status': 200 });
  });
  const giveUp = new AbortController();
  setMaxListeners(0, giveUp.signal);
  const works = Array.from({ length: 12 }, () => extract(nodeId, { signal: giveUp.signal }));
  const outcomes = Promise.allSettled(works);
  await eventually('as many as may', () => working === 8);
  const transfers = Array.from({ length: 12 }, () =>
    plane().operate(nodeId, SERVER, 'list', { path: '/', limit: 1 }),
  );
  expect(await Promise.all(transfers)).toHaveLength(12);
  expect(working).toBe(8);
  giveUp.abort(new Error('enough'));
  expect((await outcomes).every(({ status }) => status === 'rejected')).toBe(true);
});

test('a part of an upload is sent to its place, and what is wrong with it is said', async () => {
  const uploadId = randomUUID();
  const answered = { uploadId, path: '/big.bin', sizeBytes: 9, receivedBytes: 6, expiresAtMs: 5 };
  const got: unknown[] = [];
  let isRefused = false;
  const { nodeId } = await connect(async (stream, headers) => {
    got.push(`${headers[':method']} ${headers[':path']}`);
    if (isRefused) return answerJson(stream, { code: 'upload.offset_mismatch', message: 'It is at 6.' }, 422);
    got.push(String(await buffer(stream)));
    answerJson(stream, answered);
  });
  const body = () => new PassThrough().end('def');
  const send = (source = body()) => plane().uploadPart(nodeId, SERVER, { uploadId, offset: 3 }, source);
  expect(await send()).toEqual(answered);
  expect(got).toEqual([`PUT /servers/${SERVER}/uploads/${uploadId}?offset=3`, 'def']);
  isRefused = true;
  await expect(send()).rejects.toMatchObject({ code: 'upload.offset_mismatch', message: 'It is at 6.' });
  const source = body();
  await expect(
    plane().uploadPart(nodeId, SERVER, { uploadId: '../x', offset: 3 }, source),
  ).rejects.toMatchObject({ code: 'request.invalid' });
  expect(source.destroyed).toBe(true);
});
