import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Panel, startPanel } from '../helpers/panel.js';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.js';

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel();
});
afterAll(() => panel.close());

const REGISTER = '/api/auth/register';

function send(payload: string, headers: Record<string, string> = { 'content-type': 'application/json' }) {
  return panel.app.inject({ method: 'POST', url: REGISTER, headers, payload });
}

/** Everything a server answers to bytes that are sent to its port. */
function exchange(port: number, text: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(text));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

describe('errors', () => {
  test('a route that does not exist is 404 in the form of all errors', async () => {
    const answer = await panel.get('/api/nothing');
    expect(answer.status).toBe(404);
    expect(answer.body).toEqual({
      statusCode: 404,
      error: 'Not Found',
      message: 'There is no such route.',
      code: 'request.not_found',
      requestId: answer.headers['x-request-id'],
    });
  });

  test.each([
    ['an address that cannot be decoded', 'GET', '/api/nodes/%ff', 400],
    ['a method that a route does not have', 'PUT', '/api/auth/me', 404],
    ['a path far too long', 'GET', `/api/nodes/${'x'.repeat(2000)}`, 404],
  ])('%s', async (_, method, url, status) => {
    const answer = await panel.call(method, url);
    expect(answer.status).toBe(status);
    expect(Object.keys(answer.body).sort()).toEqual(['code', 'error', 'message', 'requestId', 'statusCode']);
    expect(answer.body.requestId).toBe(answer.headers['x-request-id']);
  });

  test('requests have an id of ours, whatever they bring along', async () => {
    const answer = await panel.app.inject({ url: '/api/nothing', headers: { 'x-request-id': 'theirs' } });
    expect(answer.headers['x-request-id']).toMatch(/^[0-9a-f-]{36}$/);
    expect(answer.json().requestId).toBe(answer.headers['x-request-id']);
  });

  test('bytes that are not HTTP get the same form, and the panel goes on', async () => {
    const port = await panel.listen();
    const answer = await exchange(port, 'not http at all\r\n\r\n');
    expect(answer).toMatch(/^HTTP\/1\.1 400 Bad Request\r\n/);
    expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toMatchObject({ code: 'request.invalid' });
    const headers = `GET /health HTTP/1.1\r\nHost: x\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`;
    expect(await exchange(port, headers)).toMatch(/^HTTP\/1\.1 431 /);
    expect((await panel.get('/health')).status).toBe(200);
  });
});

describe('bodies', () => {
  test.each([
    ['broken JSON', '{"email": '],
    ['__proto__', '{"__proto__": {"isAdmin": true}}'],
    ['constructor.prototype', '{"constructor": {"prototype": {"isAdmin": true}}}'],
    ['a number', '5'],
    ['null', 'null'],
    ['a string with NUL', '"\\u0000"'],
    ['nesting without end', `${'['.repeat(100_000)}${']'.repeat(100_000)}`],
    ['objects in objects without end', `${'{"a":'.repeat(50_000)}1${'}'.repeat(50_000)}`],
    ['a NUL in the name of a field', '{"a\\u0000b": 1}'],
  ])('%s is 400', async (_, payload) => {
    const answer = await send(payload);
    expect([answer.statusCode, answer.json().code]).toEqual([400, 'request.invalid']);
  });

  test.each([
    ['{"__proto__": {"isAdmin": true}}', 'body.__proto__: is not allowed'],
    ['{"email": {"x": [{"__proto__": 1}]}}', 'body.email.x.0.__proto__: is not allowed'],
  ])('%s is 400 and says which field', async (payload, message) => {
    expect((await send(payload)).json().message).toBe(message);
  });

  test('another type than JSON is 415', async () => {
    for (const type of ['text/plain', 'application/xml', 'application/x-www-form-urlencoded', 'nonsense']) {
      const answer = await send('{}', { 'content-type': type });
      expect([type, answer.statusCode, answer.json().code]).toEqual([
        type,
        415,
        'request.unsupported_media_type',
      ]);
    }
  });

  test('more than 1 MiB is 413', async () => {
    const answer = await send(JSON.stringify({ email: 'x'.repeat(1024 * 1024) }));
    expect([answer.statusCode, answer.json().code]).toEqual([413, 'request.too_large']);
  });

  test('no body at all counts as none, also when its type is named', async () => {
    const user = await panel.createUser();
    const answer = await panel.app.inject({
      method: 'POST',
      url: '/api/auth/logout',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${user.token}` },
    });
    expect(answer.statusCode).toBe(200);
  });
});

describe('queries', () => {
  test.each([
    'page=0',
    'page=-1',
    'page=1.5',
    'page=1e3',
    'page=0x10',
    'page=%201',
    'page=',
    'page=one',
    'page=99999999999',
    'page=1&page=2',
    'limit=0',
    'limit=101',
    'limit=%00',
  ])('?%s is 400', async (query) => {
    const user = await panel.createUser();
    const answer = await panel.get(`/api/locations?${query}`, user.token);
    expect([answer.status, answer.body.code]).toEqual([400, 'request.invalid']);
    expect(answer.body.message).toMatch(/^query\.(page|limit): /);
  });

  test('pages say how much there is', async () => {
    const user = await panel.createUser();
    for (let index = 0; index < 3; index += 1) await panel.createLocation();
    const answer = await panel.get('/api/locations?page=2&limit=2', user.token);
    expect(answer.body.pagination).toEqual({ page: 2, limit: 2, total: 3, pages: 2 });
    expect(answer.body.data).toHaveLength(1);
    const beyond = await panel.get('/api/locations?page=1000000&limit=100', user.token);
    expect(beyond).toMatchObject({ status: 200, body: { data: [] } });
  });
});

describe('authorization header', () => {
  test.each([
    ['none', undefined],
    ['another scheme', 'Basic dXNlcjpwYXNz'],
    ['no token', 'Bearer'],
    ['two tokens', 'Bearer a b'],
  ])('%s is 401', async (_, authorization) => {
    const answer = await panel.app.inject({
      url: '/api/auth/me',
      headers: authorization ? { authorization } : {},
    });
    expect([answer.statusCode, answer.json().code]).toEqual([401, 'auth.required']);
  });

  test('the scheme is read in any case', async () => {
    const user = await panel.createUser();
    const headers = { authorization: `bearer ${user.token}` };
    expect((await panel.app.inject({ url: '/api/auth/me', headers })).statusCode).toBe(200);
  });
});

describe('headers', () => {
  test('tell browsers what they may not do', async () => {
    const { headers } = await panel.get('/health');
    expect(headers).toMatchObject({
      'x-content-type-options': 'nosniff',
      'x-frame-options': 'SAMEORIGIN',
      'content-security-policy': expect.stringContaining("default-src 'self'"),
    });
    expect(headers).not.toHaveProperty('x-powered-by');
  });

  test('other origins get nothing by default, and a configured one gets in', async () => {
    const preflight = {
      method: 'OPTIONS' as const,
      url: '/api/auth/login',
      headers: { origin: 'https://dashboard.example.com', 'access-control-request-method': 'POST' },
    };
    const closed = await panel.app.inject(preflight);
    expect(closed.headers).not.toHaveProperty('access-control-allow-origin');
    const open = await startPanel({
      settings: { CORS_ORIGINS: 'https://dashboard.example.com, https://other.example.com' },
    });
    const allowed = await open.app.inject(preflight);
    expect([allowed.statusCode, allowed.headers['access-control-allow-origin']]).toEqual([
      204,
      'https://dashboard.example.com',
    ]);
    const stranger = await open.app.inject({
      url: '/health',
      headers: { origin: 'https://evil.example.com' },
    });
    expect(stranger.headers).not.toHaveProperty('access-control-allow-origin');
    await open.close();
  });

  test('a configured origin may ask for parts of files, send them, and read where they belong', async () => {
    const origin = 'https://dashboard.example.com';
    const open = await startPanel({ settings: { CORS_ORIGINS: origin } });
    const asked = [
      'authorization',
      'content-type',
      'range',
      'if-range',
      'if-none-match',
      'if-modified-since',
    ];
    const preflight = await open.app.inject({
      method: 'OPTIONS',
      url: '/api/servers/x/files/uploads/y',
      headers: {
        origin,
        'access-control-request-method': 'PATCH',
        'access-control-request-headers': asked.join(','),
      },
    });
    const listed = (name: string, headers: Record<string, unknown>) => String(headers[name]).split(', ');
    expect(listed('access-control-allow-methods', preflight.headers)).toContain('PATCH');
    expect(listed('access-control-allow-headers', preflight.headers).sort()).toEqual(asked.sort());
    const { headers } = await open.app.inject({ url: '/health', headers: { origin } });
    expect(listed('access-control-expose-headers', headers)).toEqual(
      expect.arrayContaining([
        ...['content-disposition', 'etag', 'content-range', 'accept-ranges', 'content-length'],
        ...['upload-offset', 'retry-after'],
      ]),
    );
    await open.close();
  });
});

describe('proxies', () => {
  const headers = { 'x-forwarded-for': '203.0.113.9', 'user-agent': 'test' };
  async function addressOf(proxied: Panel): Promise<string | null> {
    const user = await proxied.createUser();
    const { email, password } = user;
    await proxied.app.inject({
      method: 'POST',
      url: '/api/auth/login',
      headers,
      payload: { email, password },
    });
    const session = await proxied.context.database.prisma.session.findFirstOrThrow({
      where: { userId: user.id, userAgent: 'test' },
    });
    return session.ipAddress;
  }

  test('are not believed by default', async () => {
    expect(await addressOf(panel)).toBe('127.0.0.1');
  });

  test('are believed when TRUST_PROXY names them', async () => {
    const proxied = await startPanel({ settings: { TRUST_PROXY: '10.0.0.0/8, 127.0.0.1' } });
    expect(await addressOf(proxied)).toBe('203.0.113.9');
    await proxied.close();
  });
});

describe('health', () => {
  test('/health and /ready are public and say nothing else', async () => {
    expect(await panel.get('/health')).toMatchObject({ status: 200, body: { status: 'ok' } });
    expect(await panel.get('/ready')).toMatchObject({ status: 200, body: { status: 'ready' } });
  });

  test('without the database /health is 200, the rest is 503 within 5 s, and it recovers', async () => {
    const proxies: TcpProxy[] = [];
    const lonely = await startPanel({
      async reachDatabase(url) {
        const direct = new URL(url);
        const proxy = await startTcpProxy({ host: direct.hostname, port: Number(direct.port) });
        proxies.push(proxy);
        direct.host = `127.0.0.1:${proxy.port}`;
        return direct.href;
      },
    });
    const user = await lonely.createUser();
    expect((await lonely.get('/ready')).status).toBe(200);
    await proxies[0]?.cut();
    for (const path of ['/ready', '/api/locations', '/api/auth/me']) {
      const startedAt = performance.now();
      const answer = await lonely.get(path, user.token);
      expect([path, answer.status, answer.body.code]).toEqual([path, 503, 'database.unavailable']);
      expect(answer.headers['retry-after']).toBe('5');
      expect(performance.now() - startedAt).toBeLessThan(5000);
    }
    expect((await lonely.get('/health')).status).toBe(200);
    await proxies[0]?.restore();
    expect((await lonely.get('/ready')).status).toBe(200);
    expect((await lonely.get('/api/locations', user.token)).status).toBe(200);
    await lonely.close();
    await proxies[0]?.close();
  });

  test('while stopping, new requests get 503 on a connection that closes', async () => {
    const stopping = await startPanel();
    stopping.app.stopping = true;
    for (const path of ['/health', '/ready', '/api/auth/me', '/nothing']) {
      const answer = await stopping.get(path);
      expect([path, answer.status, answer.body.code, answer.headers.connection]).toEqual([
        path,
        503,
        'panel.stopping',
        'close',
      ]);
    }
    await stopping.close();
  });
});

describe('start-up', () => {
  test('fails at a route that does not declare who may call it', async () => {
    const other = await startPanel();
    await other.app.close();
    const { fastify } = await import('fastify');
    const { authenticateRequests } = await import('../../src/http/auth.js');
    const app = fastify();
    authenticateRequests(app, other.context.auth);
    expect(() => app.get('/open', async () => 'to all')).toThrow('GET /open does not declare config.access.');
    await app.close();
    await other.close();
  });
});
