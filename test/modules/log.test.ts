import { request } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redact } from '../../src/http/log.js';
import { type Panel, startPanel } from '../helpers/panel.js';

let panel: Panel;
const lines: string[] = [];
beforeAll(async () => {
  panel = await startPanel({ log: { level: 'trace', write: (line) => lines.push(line) } });
});
afterAll(() => panel.close());

const PASSWORD = 'planted-password-123';

test('planted secrets never appear in the log, whatever becomes of the request', async () => {
  const secrets: string[] = [PASSWORD];
  const account = { email: 'leak@example.com', username: 'leak', password: PASSWORD };
  const { body } = await panel.post('/api/auth/register', account);
  secrets.push(body.data.token, body.data.refreshToken);
  await panel.post('/api/auth/login', { email: account.email, password: PASSWORD });
  await panel.post('/api/auth/login', { email: account.email, password: `${PASSWORD}-wrong` });
  await panel.post('/api/auth/register', { ...account, password: { nested: PASSWORD } });
  await panel.post('/api/auth/refresh', { refreshToken: body.data.refreshToken });
  await panel.get('/api/auth/me', body.data.token);
  await panel.get(`/api/auth/me?token=${body.data.token}`);
  await panel.get(`/ws?nodeId=x&token=planted-opaque-token`);
  secrets.push('planted-opaque-token');
  await panel.app.inject({ url: '/health', headers: { cookie: 'session=planted-cookie' } });
  secrets.push('planted-cookie');

  const administrator = await panel.createAdministrator();
  const node = await panel.createNode();
  const deployment = await panel.post(`/api/nodes/${node.id}/deployment-token`, {}, administrator.token);
  const { deploymentToken, secret } = deployment.body.data;
  secrets.push(deploymentToken, secret);
  await panel.get(`/api/deploy/${deploymentToken}`);
  await panel.get('/api/deploy/planted-unknown-token');
  secrets.push('planted-unknown-token');
  await panel.context.nodes.authenticateAgent({ nodeId: node.id, token: secret });

  // An error that carries what somebody sent: the fault is ours, the secret is not.
  panel.log.error(
    { err: new Error(`Invalid invocation: ${JSON.stringify({ data: { password: PASSWORD, note: 'x' } })}`) },
    'a request failed',
  );
  panel.log.error({ headers: { authorization: `Bearer ${body.data.token}` }, password: PASSWORD }, 'oops');

  const text = lines.join('');
  for (const secretText of secrets) expect(text).not.toContain(secretText);
  expect(lines.length).toBeGreaterThan(10);
  for (const line of lines) expect(() => JSON.parse(line)).not.toThrow();
});

test('a request is logged with its id, its status and who asked', async () => {
  const user = await panel.createUser();
  lines.length = 0;
  const answer = await panel.post('/api/auth/logout', {}, user.token);
  const logged = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  expect(logged).toContainEqual(
    expect.objectContaining({
      msg: 'answered a request',
      requestId: answer.headers['x-request-id'],
      method: 'POST',
      url: '/api/auth/logout',
      statusCode: 200,
      userId: user.id,
    }),
  );
});

test('a fault is logged with its cause, and the client is told nothing of it', async () => {
  const port = await panel.listen();
  const { pool } = panel.context.database;
  await pool.query('ALTER TABLE "Location" RENAME TO "LocationElsewhere"');
  const user = await panel.createUser();
  lines.length = 0;
  const answer = await panel.get('/api/locations', user.token);
  await pool.query('ALTER TABLE "LocationElsewhere" RENAME TO "Location"');
  expect(answer).toMatchObject({
    status: 500,
    body: { code: 'internal.error', error: 'Internal Server Error' },
  });
  expect(answer.text).not.toMatch(/Location|prisma|select/i);
  const logged = lines.map((line) => JSON.parse(line) as { level: number; err?: { stack: string } });
  expect(logged.find(({ level }) => level === 50)?.err?.stack).toMatch(/Location/);
  expect(port).toBeGreaterThan(0);
});

test('a client that goes away in the middle of its body leaves the panel as it was', async () => {
  const port = await panel.listen();
  const closed = new Promise((resolve) => {
    const outgoing = request({
      port,
      method: 'POST',
      path: '/api/auth/login',
      headers: { 'content-type': 'application/json', 'content-length': 1000 },
    });
    outgoing.on('error', resolve);
    outgoing.write('{"email":', () => outgoing.destroy(new Error('gone')));
  });
  await closed;
  expect((await panel.get('/health')).status).toBe(200);
});

test.each([
  ['{"url":"/ws?token=abc&x=1"}', '{"url":"/ws?token=[redacted]&x=1"}'],
  ['{"url":"/ws?x=1&token=a%20b"}', '{"url":"/ws?x=1&token=[redacted]"}'],
  ['{"url":"/api/auth/login?password=a%20b&x=1"}', '{"url":"/api/auth/login?password=[redacted]&x=1"}'],
  ['{"url":"/api/deploy/abc?x=1"}', '{"url":"/api/deploy/[redacted]?x=1"}'],
  ['{"password":"a\\"b,\\"c","next":1}', '{"password":"[redacted]","next":1}'],
  [
    '{"msg":"{\\"password\\":\\"a\\\\\\"b\\",\\"x\\":1}"}',
    '{"msg":"{\\"password\\":\\"[redacted]\\",\\"x\\":1}"}',
  ],
  [
    '{"a":{"refreshToken":"x"},"NODE_TOKEN":"y"}',
    '{"a":{"refreshToken":"[redacted]"},"NODE_TOKEN":"[redacted]"}',
  ],
  [
    '{"msg":"create({\\n  passwordHash: \\"$argon2id$v=19$x\\",\\n  name: \\"a\\"})"}',
    '{"msg":"create({\\n  passwordHash: \\"[redacted]\\",\\n  name: \\"a\\"})"}',
  ],
  ['{"msg":"hash $argon2id$v=19$m=1$x/y here"}', '{"msg":"hash [redacted] here"}'],
  ['{"authorization":"Bearer abc"}', '{"authorization":"[redacted]"}'],
  [
    '{"msg":"connect postgres://panel:hush@db/catalyst"}',
    '{"msg":"connect postgres://panel:[redacted]@db/catalyst"}',
  ],
  ['{"msg":"tokens are not secret words","tokens":5}', '{"msg":"tokens are not secret words","tokens":5}'],
])('redact(%s)', (line, expected) => {
  expect(redact(line)).toBe(expected);
});
