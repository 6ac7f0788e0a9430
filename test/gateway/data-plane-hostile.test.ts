import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest';
import { dialDataConnection } from '../../agent/data-plane/dial.js';
import { Capability } from '../../src/protocol/agent-messages.js';
import { DATA_PLANE_PATH } from '../../src/protocol/data-plane.js';
import { ENDLESS_HEADS } from '../../src/protocol/endless-message.js';
import { eventually } from '../helpers/condition.js';
import { answerJson, connectDataAgent } from '../helpers/data-agent.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

const SERVER = randomUUID();
const ENTRY = { name: 'a', kind: 'file', sizeBytes: 10, mode: 0o644, modifiedAtMs: 0 };
const PIECE = Buffer.alloc(64 * 1024, 1);
const DIAL_TIMEOUT_MS = 10_000;

let panel: PanelWithDoors;

beforeAll(async () => {
  panel = await startPanelWithDoors();
});

afterAll(() => panel.close());

async function connectControl() {
  const node = await panel.createNode();
  await panel.connectAgent(node, { capabilities: [Capability.dataPlane] });
  return { nodeId: node.id, token: node.secret, port: panel.port };
}

const endless = () =>
  new Readable({
    read() {
      setImmediate(() => this.push(PIECE));
    },
  });

const list = (nodeId: string) =>
  panel.context.filePlane.operate(nodeId, SERVER, 'list', { path: '/', limit: 10 });

/** RFC 9113, 4.1. */
function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

function word(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

const DATA = 0;
const HEADERS = 1;
const SETTINGS = 4;
const WINDOW_UPDATE = 8;
const END_STREAM = 1;
const END_HEADERS = 4;
const FIRST_STREAM = 1;
const INITIAL_WINDOW_SIZE = Buffer.of(0, 4);
const LARGE_WINDOW = word(2 ** 30);

/** HPACK without compression, RFC 7541, 6.2.2. */
function headers(fields: Record<string, string>): Buffer {
  const texts = Object.entries(fields).map(([name, value]) =>
    Buffer.concat([
      Buffer.of(0, name.length),
      Buffer.from(name),
      Buffer.of(value.length),
      Buffer.from(value),
    ]),
  );
  return frame(HEADERS, END_HEADERS, FIRST_STREAM, Buffer.concat(texts));
}

/** A connection that speaks HTTP/2 as the test does, with room for much of what the panel sends. */
async function connectBareAgent({ port, nodeId, token }: { port: number; nodeId: string; token: string }) {
  const query = new URLSearchParams({ nodeId, token });
  const address = new URL(`ws://127.0.0.1:${port}${DATA_PLANE_PATH}?${query}`);
  const socket = await dialDataConnection(address, AbortSignal.timeout(DIAL_TIMEOUT_MS));
  onTestFinished(() => void socket.destroy());
  socket.on('error', () => {}).resume();
  socket.write(frame(SETTINGS, 0, 0, Buffer.concat([INITIAL_WINDOW_SIZE, LARGE_WINDOW])));
  socket.write(frame(WINDOW_UPDATE, 0, 0, LARGE_WINDOW));
  await eventually('it is known', () => panel.context.filePlane.isReachable(nodeId));
  return socket;
}

test('what is fetched while the panel waits to send, and for a command, is whole', async () => {
  const address = await connectControl();
  const socket = await connectBareAgent(address);
  const { nodeId } = address;
  const content = randomBytes(2 * 1024 * 1024);
  const send = (from: number, to: number) => {
    for (let at = from; at < to; at += 16_000)
      socket.write(frame(DATA, 0, FIRST_STREAM, content.subarray(at, Math.min(at + 16_000, to))));
  };
  const { filePlane: plane, precedence } = panel.context;
  const downloading = plane.download(nodeId, SERVER, { path: 'a' });
  await once(socket, 'data');
  const size = String(content.length);
  socket.write(headers({ ':status': '200', 'content-length': size, 'x-entry': JSON.stringify(ENTRY) }));
  const { body } = await downloading;
  const pieces: Buffer[] = [];
  let receivedBytes = 0;
  body.on('data', (piece: Buffer) => {
    pieces.push(piece);
    receivedBytes += piece.length;
  });
  const ended = once(body, 'end');
  ended.catch(() => {});

  socket.pause();
  precedence.goFirst('command');
  send(0, 320_000);
  await eventually('it waits for the command', () => receivedBytes >= 128 * 1024);
  const source = endless();
  const uploaded = plane.upload(nodeId, SERVER, { path: 'b', replace: true }, source);
  const outcome = expect(uploaded).rejects.toThrow();
  await eventually('it does so no more', () => !precedence.mustWait(() => {}));
  for (let at = 320_000; at < content.length; at += 160_000) {
    send(at, Math.min(at + 160_000, content.length));
    await new Promise(setImmediate);
  }
  socket.write(frame(DATA, END_STREAM, FIRST_STREAM));
  socket.resume();
  await ended;
  expect(Buffer.concat(pieces).equals(content)).toBe(true);
  source.destroy(new Error('enough'));
  await outcome;
});

test('an agent that sends more of a file than it was asked for is not listened to', async () => {
  const address = await connectControl();
  let resets = 0;
  await connectDataAgent(address, (stream, headers) => {
    if (headers[':method'] === 'POST') return answerJson(stream, { handle: 'h', entry: ENTRY });
    stream.once('close', () => {
      resets += 1;
    });
    const entry = { 'x-entry': JSON.stringify(ENTRY) };
    stream.respond({ ':status': 200, 'content-length': String(2 ** 40), ...entry });
    endless()
      .on('error', () => {})
      .pipe(stream);
  });
  const { filePlane: plane } = panel.context;
  const how = { read: true, write: false, append: false, create: false, exclusive: false, truncate: false };
  await plane.operate(address.nodeId, SERVER, 'open', { path: 'a', ...how });
  const reading = plane.handle(address.nodeId, 'h').readStream(0, { length: 1000 });
  await expect(reading).rejects.toMatchObject({ code: 'file.failed' });
  const downloading = plane.download(address.nodeId, SERVER, { path: 'a', length: 10 });
  await expect(downloading).rejects.toMatchObject({ code: 'file.failed' });
  await eventually('it is told to stop', () => resets === 2);
});

test('a connection that the other side has ended is over at once', async () => {
  const address = await connectControl();
  const data = await connectDataAgent(address, () => {});
  await eventually('it is known', () => panel.context.filePlane.isReachable(address.nodeId));
  const asked = expect(list(address.nodeId)).rejects.toMatchObject({ code: 'node.offline' });
  data.socket.end();
  await asked;
  expect(panel.context.filePlane.isReachable(address.nodeId)).toBe(false);
});

test('an agent whose beginning comes in pieces is waited for, and meanwhile everybody else is answered', async () => {
  const { nodeId, token, port } = await connectControl();
  const socket = connect(port, '127.0.0.1').setNoDelay(true);
  onTestFinished(() => void socket.destroy());
  socket.write(
    `GET ${DATA_PLANE_PATH}?${new URLSearchParams({ nodeId, token })} HTTP/1.1\r\nHost: panel\r\nConnection: Upgrade\r\n` +
      'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n',
  );
  await once(socket, 'data');
  socket.resume();
  for (const byte of ENDLESS_HEADS.agent) {
    socket.write(Buffer.of(byte));
    expect((await fetch(`http://127.0.0.1:${port}/no/such/place`)).status).toBe(404);
  }
  await eventually('it is known', () => panel.context.filePlane.isReachable(nodeId));
});
