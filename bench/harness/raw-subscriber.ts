import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { createFrameReader } from './frame-reader.js';

const READ_BUFFER_BYTES = 1024 * 1024;
const RESPONSE_MAX_BYTES = 16 * 1024;

/** Every socket of this process reads into the same memory: each read is looked at before the next one. */
const readBuffer = Buffer.allocUnsafe(READ_BUFFER_BYTES);

export interface RawSubscriberOptions {
  /** `ws://host:port/path` */
  url: string;
  /** What to say: after the server has agreed, or with the very bytes of the request when `speaksAtOnce`. */
  messages: string[];
  speaksAtOnce?: boolean;
  /** Messages up to this length are given whole, of longer ones the two ends. */
  keepBytes: number;
  onText(text: string): void;
  onEnd(reason: string): void;
}

export interface RawSubscriber {
  pause(): void;
  resume(): void;
  close(): void;
}

/** A WebSocket client of the cheapest kind: for swarms, where the client's work must not be what is measured. */
export function connectRawSubscriber(options: RawSubscriberOptions): RawSubscriber {
  const { hostname, port, pathname, search } = new URL(options.url);
  const spoken = Buffer.concat(options.messages.map((message) => frame(0x1, Buffer.from(message))));
  let response: Buffer | null = Buffer.alloc(0);
  let isOver = false;
  const feed = createFrameReader(options.keepBytes, {
    onText: options.onText,
    onPing: (payload) => socket.write(frame(0xa, payload)),
    onClose: (code) => end(`closed with ${code}`),
  });

  function end(reason: string): void {
    if (isOver) return;
    isOver = true;
    socket.destroy();
    options.onEnd(reason);
  }

  function receive(chunk: Buffer): void {
    if (response === null) {
      feed(chunk);
      return;
    }
    response = Buffer.concat([response, chunk]);
    const endOfHeader = response.indexOf('\r\n\r\n');
    if (endOfHeader === -1) {
      if (response.length > RESPONSE_MAX_BYTES) end('an endless answer');
      return;
    }
    const status = response.subarray(9, 12).toString('latin1');
    const rest = response.subarray(endOfHeader + 4);
    response = null;
    if (status !== '101') {
      end(`refused with ${status}`);
      return;
    }
    if (!options.speaksAtOnce) socket.write(spoken);
    feed(rest);
  }

  const socket = connect({
    host: hostname,
    port: Number(port),
    noDelay: true,
    onread: {
      buffer: readBuffer,
      callback(length) {
        receive(readBuffer.subarray(0, length));
        return true;
      },
    },
  });
  socket.on('error', (error) => end(error.message));
  socket.on('close', () => end('closed'));
  const request = [
    `GET ${pathname}${search} HTTP/1.1`,
    `Host: ${hostname}:${port}`,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
    '',
    '',
  ].join('\r\n');
  socket.write(options.speaksAtOnce ? Buffer.concat([Buffer.from(request), spoken]) : request);
  return {
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    close: () => end('closed by us'),
  };
}

/** A client's frame, "masked" with zeros as RFC 6455 allows. */
function frame(opcode: number, payload: Buffer): Buffer {
  const length = payload.length;
  if (length > 0xffff) throw new Error('A subscriber says nothing that long.');
  const header = Buffer.alloc(length < 126 ? 6 : 8);
  header[0] = 0x80 | opcode;
  header[1] = 0x80 | Math.min(length, 126);
  if (length >= 126) header.writeUInt16BE(length, 2);
  return Buffer.concat([header, payload]);
}
