import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { Capability } from '../../src/protocol/agent-messages.js';
import { FILE_JSON_MAX_BYTES, STREAMS_PER_SERVER_MAX } from '../../src/protocol/data-plane.js';
import { eventually } from '../helpers/condition.js';
import { type Answering, answerJson, connectDataAgent } from '../helpers/data-agent.js';
import { refusedUpgrade } from '../helpers/documented-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

const ENTRY = { name: 'a', kind: 'file', sizeBytes: 10, mode: 0o644, modifiedAtMs: 0 };
const LIST = { path: '/', limit: 10 };
const SERVER = randomUUID();

let panel: PanelWithDoors;

beforeAll(async () => {
  panel = await startPanelWithDoors({ settings: { HEARTBEAT_INTERVAL_MS: '600' } });
});

afterAll(() => panel.close());

async function connectControl(capabilities: string[] = [Capability.dataPlane]) {
  const node = await panel.createNode();
  const control = await panel.connectAgent(node, { capabilities });
  const heartbeats = setInterval(() => control.send({ type: 'heartbeat' }), 200);
  onTestFinished(() => clearInterval(heartbeats));
  return { node, control, nodeId: node.id };
}

/** A node whose agent answers in the data plane what the test wants. */
async function connect(answering: Answering | null) {
  const connected = await connectControl();
  const { node, nodeId } = connected;
  const dial = () => connectDataAgent({ port: panel.port, nodeId, token: node.secret }, answering);
  return { ...connected, dial, data: await dial() };
}

const plane = () => panel.context.filePlane;
const list = (nodeId: string, server = SERVER, signal?: AbortSignal) =>
  plane().operate(nodeId, server, 'list', LIST, { signal });
const refused = (nodeId: string, token: string) =>
  refusedUpgrade(panel.port, `/ws/data?${new URLSearchParams({ nodeId, token })}`);

test('only the secret of the node opens a data connection, and only beside its control connection', async () => {
  const { node, nodeId, control } = await connectControl();
  const { token } = await panel.createAdministrator();
  const deployment = await panel.post(`/api/nodes/${nodeId}/deployment-token`, {}, token);
  expect(await refused(nodeId, 'wrong')).toBe(401);
  expect(await refused(nodeId, deployment.body.data.deploymentToken)).toBe(401);
  expect(await refused('no-such-node', node.secret)).toBe(401);
  expect(await refusedUpgrade(panel.port, '/ws/data')).toBe(400);
  const other = await panel.createNode();
  expect(await refused(other.id, node.secret)).toBe(401);
  expect(await refused(other.id, other.secret)).toBe(503);
  await control.disconnect();
  await eventually('it has gone', () => !panel.context.agents.isConnected(nodeId));
  expect(await refused(nodeId, node.secret)).toBe(503);
});

test('an agent that knows nothing of the data plane gets no files asked of it', async () => {
  const { node, nodeId } = await connectControl([]);
  expect(await refused(nodeId, node.secret)).toBe(503);
  await expect(list(nodeId)).rejects.toMatchObject({ code: 'node.files_unavailable', statusCode: 503 });
  await expect(list((await panel.createNode()).id)).rejects.toMatchObject({ code: 'node.offline' });
});

test('a newer data connection takes over, and it ends with its control connection', async () => {
  const { nodeId, data, dial, control } = await connect((stream) =>
    answerJson(stream, { entries: [ENTRY], next: null }),
  );
  expect(await list(nodeId)).toEqual({ entries: [ENTRY], next: null });
  const newer = await dial();
  await data.closed;
  expect((await list(nodeId)).entries).toHaveLength(1);
  await control.disconnect();
  await newer.closed;
  await expect(list(nodeId)).rejects.toMatchObject({ code: 'node.offline' });
});

test('it ends when a newer control connection takes over, or the secret is replaced', async () => {
  const { node, nodeId, data, dial } = await connect((stream) => answerJson(stream, {}));
  await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  await data.closed;
  const again = await dial();
  const { token } = await panel.createAdministrator();
  await panel.post(`/api/nodes/${nodeId}/rotate-secret`, {}, token);
  await again.closed;
  expect(await refused(nodeId, node.secret)).toBe(401);
});

test('a question that comes before the data connection does waits for it', async () => {
  const { node, nodeId } = await connectControl();
  const answer = list(nodeId);
  await connectDataAgent({ port: panel.port, nodeId, token: node.secret }, (stream) =>
    answerJson(stream, { entries: [], next: null }),
  );
  expect(await answer).toEqual({ entries: [], next: null });
});

test('what the agent refuses has its code, and what it makes up is file.failed', async () => {
  let answering: Answering = () => {};
  const { nodeId } = await connect((stream, headers) => answering(stream, headers));
  const cases: [Answering, object][] = [
    [
      (stream) => answerJson(stream, { code: 'file.not_found', message: 'No\u0000\nsuch.' }, 422),
      { code: 'file.not_found', statusCode: 404, message: 'No such.' },
    ],
    [
      (stream) => answerJson(stream, { code: 'server.not_found', message: '' }, 422),
      { code: 'server.not_installed' },
    ],
    [
      (stream) => answerJson(stream, { code: 'auth.required', message: 'x' }, 401),
      { code: 'file.failed', statusCode: 502 },
    ],
    [(stream) => answerJson(stream, { entries: [{ name: 1 }], next: null }), { code: 'file.failed' }],
    [(stream) => answerJson(stream, 'junk'), { code: 'file.failed' }],
    [
      (stream) => {
        stream.respond({ ':status': 200 });
        stream.end(Buffer.alloc(FILE_JSON_MAX_BYTES + 1, ' '));
      },
      { code: 'file.failed' },
    ],
    [(stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR), { code: 'file.failed' }],
  ];
  for (const [next, error] of cases) {
    answering = next;
    await expect(list(nodeId)).rejects.toMatchObject(error);
  }
  await expect(plane().operate(nodeId, SERVER, 'list', { path: 'a\0b', limit: 1 })).rejects.toMatchObject({
    code: 'request.invalid',
    message: expect.stringMatching(/^path: /),
  });
  await expect(plane().download(nodeId, SERVER, { path: 'a', offset: -1 })).rejects.toMatchObject({
    code: 'request.invalid',
    message: expect.stringMatching(/^offset: /),
  });
});

/** Ten bytes of a file of which four come. */
function answerPart(stream: ServerHttp2Stream, then: () => void): void {
  stream.respond({ ':status': 200, 'content-length': 10, 'x-entry': JSON.stringify(ENTRY) });
  stream.write('1234', then);
}

test.each([
  ['broken off', (stream: ServerHttp2Stream) => stream.destroy(new Error('the disk is gone'))],
  ['reset', (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
  ['called off', (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_CANCEL)],
  ['reset without a reason', (stream: ServerHttp2Stream) => stream.close(constants.NGHTTP2_NO_ERROR)],
  ['too short', (stream: ServerHttp2Stream) => stream.end()],
])('a download that is %s ends with an error, not as if it were whole', async (_how, end) => {
  const { nodeId } = await connect((stream) => answerPart(stream, () => end(stream)));
  const download = plane().download(nodeId, SERVER, { path: 'a' });
  await expect(download.then(({ body }) => buffer(body))).rejects.toMatchObject({ code: 'file.failed' });
});

test('a node that is lost in the middle breaks downloads, uploads and operations off', async () => {
  const { nodeId, data } = await connect((stream, headers) => {
    if (headers[':method'] === 'GET') answerPart(stream, () => {});
  });
  const { entry, body } = await plane().download(nodeId, SERVER, { path: 'a' });
  expect(entry).toEqual(ENTRY);
  const downloaded = buffer(body);
  const source = new Readable({ read() {} });
  source.push('a part');
  const uploaded = plane().upload(nodeId, SERVER, { path: 'b', replace: false }, source);
  const listed = list(nodeId);
  const outcomes = Promise.allSettled([downloaded, uploaded, listed]);
  await eventually('the bytes are there', () => body.readableLength >= 0);
  data.socket.destroy();
  for (const outcome of await outcomes) {
    expect(outcome).toMatchObject({ status: 'rejected', reason: { code: 'node.offline', statusCode: 503 } });
  }
  expect(source.destroyed).toBe(true);
});

test('a node that is silent is given up', async () => {
  const { nodeId } = await connect(null);
  await expect(list(nodeId)).rejects.toMatchObject({ code: 'node.offline' });
});

test('who gives up has the node stop', async () => {
  const codes: number[] = [];
  const { nodeId } = await connect((stream, headers) => {
    stream.on('close', () => codes.push(stream.rstCode));
    if (headers[':method'] === 'GET') answerPart(stream, () => {});
    else stream.resume();
  });
  const { body } = await plane().download(nodeId, SERVER, { path: 'a' });
  body.destroy();
  await eventually('the reading has stopped', () => codes.length === 1);

  const giveUp = new AbortController();
  const listed = list(nodeId, SERVER, giveUp.signal);
  await eventually('it has been asked', () => plane().isReachable(nodeId));
  setImmediate(() => giveUp.abort(new Error('enough')));
  await expect(listed).rejects.toThrow('enough');

  const source = new Readable({ read() {} });
  source.push('a part');
  const uploaded = plane().upload(nodeId, SERVER, { path: 'b', replace: true }, source);
  setImmediate(() => source.destroy(new Error('the client hung up')));
  await expect(uploaded).rejects.toThrow('the client hung up');
  await eventually('all have stopped', () => codes.length >= 2);
  expect(new Set(codes)).toEqual(new Set([constants.NGHTTP2_INTERNAL_ERROR]));
});

test('an upload that is refused in the middle says why, and its source is destroyed', async () => {
  const { nodeId } = await connect((stream) => {
    stream.once('data', () => {
      stream.respond({ ':status': 422 });
      stream.end(JSON.stringify({ code: 'file.quota_exceeded', message: 'It is full.' }));
    });
  });
  const source = Readable.from(
    (function* () {
      for (;;) yield Buffer.alloc(64 * 1024);
    })(),
  );
  const uploaded = plane().upload(nodeId, SERVER, { path: 'b', replace: true }, source);
  await expect(uploaded).rejects.toMatchObject({ code: 'file.quota_exceeded', message: 'It is full.' });
  expect(source.destroyed).toBe(true);
});

test('transfers wait for one another and leave room for what is quick', async () => {
  const held: ServerHttp2Stream[] = [];
  const { nodeId } = await connect((stream, headers) => {
    if (headers[':method'] !== 'GET') return answerJson(stream, { entries: [], next: null });
    held.push(stream);
    answerPart(stream, () => {});
  });
  const bodies: Readable[] = [];
  for (let count = 0; count <= STREAMS_PER_SERVER_MAX; count += 1) {
    plane()
      .download(nodeId, SERVER, { path: 'a' })
      .then(
        ({ body }) => bodies.push(body),
        () => {},
      );
  }
  await eventually('as many as may', () => bodies.length === 12);
  expect(await list(nodeId)).toEqual({ entries: [], next: null });
  expect(held).toHaveLength(12);
  // Another server's do not wait for them.
  const other = await plane().download(nodeId, randomUUID(), { path: 'a' });
  other.body.destroy();
  bodies[0]?.destroy();
  await eventually('the next has come', () => bodies.length === 13);
});

test('a handle is known by the server it was opened on and forgotten with its connection', async () => {
  const paths: string[] = [];
  const { nodeId, dial, data } = await connect((stream, headers) => {
    paths.push(`${headers[':method']} ${headers[':path']}`);
    if (headers[':path']?.endsWith('/open')) return answerJson(stream, { handle: 'h1', entry: ENTRY });
    if (headers[':method'] === 'GET') {
      stream.respond({ ':status': 200, 'content-length': 5 });
      stream.end('12345');
    } else if (headers[':method'] === 'PUT')
      buffer(stream).then(({ length }) => answerJson(stream, { bytes: length }));
    else answerJson(stream, {});
  });
  const flags = { read: true, write: true, append: false, create: true, exclusive: false, truncate: false };
  const { handle } = await plane().operate(nodeId, SERVER, 'open', { path: 'a', ...flags });
  const file = plane().handle(nodeId, handle);
  expect(String(await file.read(3, 5))).toBe('12345');
  await expect(file.read(3, 4)).rejects.toMatchObject({ code: 'file.failed' });
  expect(String(await buffer(await file.readStream(0)))).toBe('12345');
  expect(await file.write(7, Buffer.from('abc'))).toBe(3);
  expect(paths).toContain('GET /handles/h1/content?offset=3&length=5');
  await file.operate('close', {});
  await expect(file.read(0, 1)).rejects.toMatchObject({ code: 'file.handle_invalid' });
  await plane().operate(nodeId, SERVER, 'open', { path: 'a', ...flags });
  await dial();
  await data.closed;
  await expect(file.read(0, 1)).rejects.toMatchObject({ code: 'file.handle_invalid' });
});

test('a handle that could not be closed well is forgotten, too', async () => {
  const { nodeId } = await connect((stream, headers) => {
    if (headers[':path']?.endsWith('/open')) answerJson(stream, { handle: 'h2', entry: ENTRY });
    else answerJson(stream, { code: 'file.no_space', message: 'The disk is full.' }, 422);
  });
  const flags = { read: false, write: true, append: false, create: true, exclusive: false, truncate: true };
  const { handle } = await plane().operate(nodeId, SERVER, 'open', { path: 'a', ...flags });
  const file = plane().handle(nodeId, handle);
  expect(file.isOpen()).toBe(true);
  await expect(file.operate('close', {})).rejects.toMatchObject({ code: 'file.no_space' });
  expect(file.isOpen()).toBe(false);
  await expect(file.operate('close', {})).rejects.toMatchObject({ code: 'file.handle_invalid' });
});

test('a stopping panel ends data connections and takes no new ones', async () => {
  const other = await startPanelWithDoors();
  const node = await other.createNode();
  await other.connectAgent(node, { capabilities: [Capability.dataPlane] });
  const data = await connectDataAgent({ port: other.port, nodeId: node.id, token: node.secret }, () => {});
  const ended = once(data.socket, 'close');
  await other.close();
  await ended;
});
