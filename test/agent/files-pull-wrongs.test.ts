import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { Socket } from 'node:net';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { listen, openPulls, serve } from './pull-harness.js';
import { selfSigned } from './self-signed.js';

const failed = { code: 'url.failed' };
const MEGABYTE = 1024 * 1024;
const content = randomBytes(3 * MEGABYTE);
const UNTOUCHED = ['d', 'd/file'];

/** Settings with waiting times that a test can wait for. */
const impatient = {
  allowedNetworks: ['127.0.0.1/32'],
  limits: { idleTimeoutMs: 1000, totalTimeoutMs: 2500 },
};

/** What the other side may do wrong, with what is said of it. */
const WRONGS: [string, RegExp, RequestListener][] = [
  ['a redirect to nowhere', /without saying where/, (_request, response) => response.writeHead(302).end()],
  ['no answer', /does not answer/, () => {}],
  [
    'headers that never end',
    /does not answer|stopped/,
    (_request, { socket }) => {
      socket?.write('HTTP/1.1 200 OK\r\n');
      const timer = setInterval(() => socket?.write('x: y\r\n'), 50);
      socket?.once('close', () => clearInterval(timer));
    },
  ],
  [
    'more headers than anybody needs',
    /more headers/,
    (_request, { socket }) => {
      socket?.write(`HTTP/1.1 200 OK\r\n${'x: yyyyyyyyyyyyyyyyyyyyyyyy\r\n'.repeat(1000)}`);
    },
  ],
  [
    'a body that stops',
    /stopped sending/,
    (_request, response) => {
      response.writeHead(200, { 'content-length': 100 }).write('some');
    },
  ],
  [
    'a body that trickles',
    /longer than/,
    (_request, response) => {
      response.writeHead(200, { 'content-length': 10_000 });
      const timer = setInterval(() => response.write('x'), 50);
      response.once('close', () => clearInterval(timer));
    },
  ],
  [
    'a body that is cut off',
    /cut the connection/,
    (_request, response) => {
      response.writeHead(200, { 'content-length': content.length + 1 });
      response.write(content, () => response.socket?.end());
    },
  ],
  [
    'chunks that are cut off',
    /cut the connection/,
    (_request, response) => {
      response.write(content, () => response.socket?.destroy());
    },
  ],
  [
    'a body without any end but that of the connection',
    /where the file ends/,
    (_request, { socket }) => {
      socket?.end('HTTP/1.1 200 OK\r\n\r\nmay be all of it');
    },
  ],
  [
    'a body that is packed',
    /packed/,
    (_request, response) => {
      response.setHeader('content-encoding', 'gzip');
      response.end(gzipSync(Buffer.alloc(10 * MEGABYTE)));
    },
  ],
  [
    'chunks that are packed',
    /not understood|not HTTP/,
    (_request, response) => {
      response.setHeader('transfer-encoding', 'gzip, chunked');
      response.end(gzipSync(Buffer.alloc(10 * MEGABYTE)));
    },
  ],
  ['something else than HTTP', /not HTTP/, (_request, { socket }) => void socket?.end('220 ready\r\n')],
  [
    'a length that is no number',
    /not HTTP/,
    (_request, { socket }) => {
      socket?.end('HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\nhello');
    },
  ],
];

const TOO_LARGE: typeof WRONGS = [
  [
    'a body that says it is too large',
    /larger than/,
    (_request, response) => {
      response.writeHead(200, { 'content-length': 2 ** 40 }).write('x');
    },
  ],
  [
    'chunks without end',
    /larger than/,
    (_request, response) => {
      const more = () => response.write(content, () => response.destroyed || more());
      more();
    },
  ],
];

const ALL = [
  ...WRONGS.map((wrong) => ['url.failed', ...wrong] as const),
  ...TOO_LARGE.map((wrong) => ['file.too_large', ...wrong] as const),
];

test.each(ALL)('%s, %s: it is said, and nothing is kept', async (code, _what, message, answer) => {
  let socket: Socket | null = null;
  const base = await serve((request, response) => {
    socket = request.socket.once('error', () => {});
    response.once('error', () => {});
    answer(request, response);
  });
  const { pull, names } = openPulls({ pull: impatient });
  const fetching = pull(base, { path: 'new/file', sizeBytesMax: 20 * MEGABYTE });
  await expect(fetching).rejects.toMatchObject({ code, message: expect.stringMatching(message) });
  await eventually('the connection is closed', () => socket?.destroyed);
  expect(names().filter((name) => name !== 'new')).toEqual(UNTOUCHED);
});

test('cancelled in the middle: the connection is closed at once, and nothing is left', async () => {
  const sockets: Socket[] = [];
  const base = await serve((request, response) => {
    sockets.push(request.socket);
    response.writeHead(200, { 'content-length': 2 ** 30 }).write(content);
  });
  const { pull, names, reports } = openPulls({ limitBytes: 2 ** 31 });
  const leaving = new AbortController();
  const fetching = pull(base, { signal: leaving.signal });
  const stopped = expect(fetching).rejects.toMatchObject({ code: 'file.failed' });
  await eventually('all of it has come', () => reports.at(-1)?.doneBytes === content.length);
  expect(names()).toHaveLength(3);
  leaving.abort();
  await stopped;
  expect(names()).toEqual(UNTOUCHED);
  await eventually('the connection is closed', () => sockets.every((socket) => socket.destroyed));
  await expect(pull(base, { signal: leaving.signal })).rejects.toMatchObject({ code: 'file.failed' });
  expect([sockets.length, names()]).toEqual([1, UNTOUCHED]);
});

test.each([
  ['announced', { 'content-length': content.length }],
  ['not announced', {}],
])('more than the disk limit, %s: refused, and nothing is left', async (_how, headers) => {
  const base = await serve((_request, response) => response.writeHead(200, headers).end(content));
  const { pull, names, operate } = openPulls({ limitBytes: 2 * MEGABYTE });
  await expect(pull(base)).rejects.toMatchObject({ code: 'file.quota_exceeded' });
  expect(names()).toEqual(UNTOUCHED);
  expect((await operate('usage', {})).usedBytes).toBeLessThan(MEGABYTE);
});

test('nobody listens, the name is not known, or takes too long to look up: it is said', async () => {
  const base = await serve(() => {});
  const port = Number(new URL(base).port);
  const limits = { connectTimeoutMs: 200 };
  const allowedNetworks = ['127.0.0.0/8'];
  const unknown = () => Promise.reject(Object.assign(new Error(), { code: 'ENOTFOUND' }));
  const told = (message: RegExp) => ({ ...failed, message: expect.stringMatching(message) });
  const { pull } = openPulls({ pull: { limits, allowedNetworks, resolve: unknown } });
  await expect(pull(`http://127.0.0.2:${port}/`)).rejects.toMatchObject(told(/no connections/));
  await expect(pull('http://unknown.invalid/')).rejects.toMatchObject(told(/no such host/));
  const slow = openPulls({ pull: { limits, allowedNetworks, resolve: () => new Promise(() => {}) } });
  await expect(slow.pull('http://slow.invalid/')).rejects.toMatchObject(told(/looked up/));
});

test('a certificate that nobody vouches for is refused', async () => {
  let asked = 0;
  const server = createSecureServer(selfSigned, (_request, response) => {
    asked += 1;
    response.end('fetched');
  });
  const port = await listen(server);
  const { pull, names } = openPulls();
  const told = { ...failed, message: expect.stringContaining('not secure') };
  await expect(pull(`https://127.0.0.1:${port}/`)).rejects.toMatchObject(told);
  expect([asked, names()]).toEqual([0, UNTOUCHED]);
});
