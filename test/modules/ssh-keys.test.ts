import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { accountAudit, askInWaves, expectSessionOnly, statusesOf } from '../helpers/accounts.js';
import { type Panel, startPanel } from '../helpers/panel.js';
import { makeKeyPair } from '../helpers/ssh-keygen.js';

const URL = '/api/auth/ssh-keys';

let panel: Panel;
beforeAll(async () => {
  panel = await startPanel();
});
afterAll(() => panel.close());

/** A key that nobody has, without the 10 ms that ssh-keygen takes. */
function randomLine(): string {
  const head = Buffer.from('0000000b7373682d6564323535313900000020', 'hex');
  return `ssh-ed25519 ${Buffer.concat([head, randomBytes(32)]).toString('base64')}`;
}

const add = (token: string, publicKey = randomLine(), name = 'laptop') =>
  panel.post(URL, { name, publicKey }, token);

test.each([
  ['GET', URL],
  ['POST', URL],
  ['DELETE', `${URL}/anything`],
])('%s %s is 401 for nobody and 403 for an API key', async (method, url) => {
  const body = method === 'POST' ? { name: 'x', publicKey: randomLine() } : undefined;
  await expectSessionOnly(panel, [method, url, body]);
});

describe('POST /api/auth/ssh-keys', () => {
  test.each([
    ['no key', { name: 'x' }, 'request.invalid'],
    ['no name', { publicKey: randomLine() }, 'request.invalid'],
    ['a key that is a list', { name: 'x', publicKey: [randomLine()] }, 'request.invalid'],
    [
      'a key that is too long',
      { name: 'x', publicKey: `${randomLine()} ${'x'.repeat(9000)}` },
      'request.invalid',
    ],
    ['an unknown field', { name: 'x', publicKey: randomLine(), type: 'ssh-rsa' }, 'request.invalid'],
    ['what is not a key', { name: 'x', publicKey: 'hello' }, 'ssh_key.invalid'],
    ['a key without its end', { name: 'x', publicKey: randomLine().slice(0, -8) }, 'ssh_key.invalid'],
  ])('refuses %s', async (_, body, code) => {
    const user = await panel.createUser();
    expect(await panel.post(URL, body, user.token)).toMatchObject({ status: 400, body: { code } });
    expect((await panel.get(URL, user.token)).body.pagination.total).toBe(0);
  });

  test('refuses a private key with a warning, and neither logs nor stores it', async () => {
    const lines: string[] = [];
    const logging = await startPanel({ log: { level: 'trace', write: (line) => lines.push(line) } });
    const user = await logging.createUser();
    const { privateText } = makeKeyPair('-t', 'ed25519');
    const answer = await logging.post(URL, { name: 'oops', publicKey: privateText }, user.token);
    expect(answer).toMatchObject({ status: 400, body: { code: 'ssh_key.invalid' } });
    expect(answer.body.message).toContain('This is a private key');
    const secret = privateText.split('\n')[1] ?? 'nothing';
    expect(answer.text).not.toContain(secret);
    expect(lines.join('')).not.toContain(secret);
    await logging.close();
  });

  test('answers the key with the fingerprint that ssh-keygen prints', async () => {
    const user = await panel.createUser();
    const { publicLine, fingerprint } = makeKeyPair('-t', 'ecdsa', '-b', '256');
    const answer = await add(user.token, publicLine, ' my laptop ');
    expect(answer.status).toBe(201);
    expect(answer.body).toEqual({
      success: true,
      data: {
        id: expect.any(String),
        name: 'my laptop',
        type: 'ecdsa-sha2-nistp256',
        publicKey: publicLine.split(' ')[1],
        fingerprint,
        createdAt: expect.any(String),
        lastUsedAt: null,
      },
    });
    expect((await accountAudit(panel, user.id)).at(-1)).toBe('ssh_key.add');
  });

  test('a key is one account’s, however many want it at once', async () => {
    const users = await Promise.all(Array.from({ length: 5 }, () => panel.createUser()));
    const line = randomLine();
    const answers = await Promise.all(
      users.map(({ token }, index) => add(token, `${line} comment ${index}`)),
    );
    expect(statusesOf(answers)).toEqual([201, 409, 409, 409, 409]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body.code).toBe('ssh_key.taken');
  });

  test('an account has 50 at most, also when it adds many at once', async () => {
    const user = await panel.createUser();
    const answers = await askInWaves(60, () => add(user.token));
    expect(statusesOf(answers)).toEqual([
      ...Array.from({ length: 50 }, () => 201),
      ...Array.from({ length: 10 }, () => 409),
    ]);
    const refused = answers.find(({ status }) => status === 409);
    expect(refused?.body.code).toBe('ssh_key.too_many');
  });
});

test('GET /api/auth/ssh-keys lists one’s own, newest first, by pages', async () => {
  const [user, other] = [await panel.createUser(), await panel.createUser()];
  await add(other.token);
  const first = await add(user.token);
  const second = await add(user.token);
  const answer = await panel.get(`${URL}?limit=1`, user.token);
  expect(answer.body).toEqual({
    success: true,
    data: [second.body.data],
    pagination: { page: 1, limit: 1, total: 2, pages: 2 },
  });
  expect((await panel.get(`${URL}?limit=1&page=2`, user.token)).body.data).toEqual([first.body.data]);
});

test("DELETE /api/auth/ssh-keys/:sshKeyId removes one's own, and is 404 for others", async () => {
  const [user, other] = [await panel.createUser(), await panel.createUser()];
  const line = randomLine();
  const { id } = (await add(user.token, line)).body.data;
  for (const url of [`${URL}/${id}`, `${URL}/nothing`]) {
    const refused = await panel.delete(url, other.token);
    expect(refused).toMatchObject({ status: 404, body: { code: 'ssh_key.not_found' } });
  }
  expect((await panel.delete(`${URL}/${id}`, user.token)).body).toEqual({ success: true });
  expect((await panel.delete(`${URL}/${id}`, user.token)).status).toBe(404);
  expect((await add(other.token, line)).status).toBe(201);
  expect((await accountAudit(panel, user.id)).at(-1)).toBe('ssh_key.remove');
});
