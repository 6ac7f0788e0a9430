import { generateKeyPairSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type Panel, startPanel, type TestUser } from '../helpers/panel.js';

let panel: Panel;
let sibling: Panel;
let administrator: TestUser;
beforeAll(async () => {
  panel = await startPanel();
  sibling = await startPanel({ database: panel.database });
  administrator = await panel.createAdministrator();
});
afterAll(async () => {
  await sibling.close();
  await panel.close();
});

const PASSWORD = 'chosen by the administrator';

function resetPassword({ id }: TestUser) {
  return panel.post(`/api/admin/users/${id}/reset-password`, { password: PASSWORD }, administrator.token);
}

/** A line as in a file that ends in `.pub`. */
function publicKey(): string {
  const { x = '' } = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
  const words = [Buffer.from('ssh-ed25519'), Buffer.from(x, 'base64url')].map((word) => {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(word.length);
    return Buffer.concat([length, word]);
  });
  return `ssh-ed25519 ${Buffer.concat(words).toString('base64')}`;
}

describe('a session that another panel has just ended, as this one does not know yet', () => {
  test.each([
    ['an API key', 'POST', '/api/auth/api-keys', () => ({ name: 'kept' })],
    ['an SSH key', 'POST', '/api/auth/ssh-keys', () => ({ name: 'kept', publicKey: publicKey() })],
    ['a second factor', 'POST', '/api/auth/two-factor/enrol', () => ({ password: PASSWORD })],
    ['another name', 'PATCH', '/api/auth/me', () => ({ username: `kept_${Date.now()}` })],
    [
      'another e-mail',
      'PATCH',
      '/api/auth/me',
      () => ({ email: `kept_${Date.now()}@example.com`, currentPassword: PASSWORD }),
    ],
    [
      'another password',
      'POST',
      '/api/auth/change-password',
      () => ({ currentPassword: PASSWORD, newPassword: 'mine again' }),
    ],
    ['no account any more', 'DELETE', '/api/auth/me', () => ({ password: PASSWORD })],
  ])('gets nobody %s: 401', async (_, method, url, body) => {
    const user = await panel.createUser();
    expect((await sibling.get('/api/auth/me', user.token)).status).toBe(200);
    expect((await resetPassword(user)).status).toBe(200);
    const answer = await sibling.call(method, url, body(), user.token);
    expect(answer).toMatchObject({ status: 401, body: { code: 'auth.invalid_token' } });
    expect((await panel.get(`/api/admin/users/${user.id}`, administrator.token)).body.data).toMatchObject({
      username: user.username,
      email: user.email,
      twoFactorEnabled: false,
    });
  });
});

test('a password that is reset takes the SSH keys too, with which the account’s files could be reached', async () => {
  const user = await panel.createUser();
  const added = await panel.post(
    '/api/auth/ssh-keys',
    { name: 'a laptop', publicKey: publicKey() },
    user.token,
  );
  expect(added.status).toBe(201);
  expect((await resetPassword(user)).body.data).toMatchObject({ removedSshKeys: 1 });
  const login = await panel.post('/api/auth/login', { email: user.email, password: PASSWORD });
  expect((await panel.get('/api/auth/ssh-keys', login.body.data.token)).body.data).toEqual([]);
});

test('the session of an administrator that another panel has just ended makes no way back in: 401', async () => {
  const user = await panel.createAdministrator();
  const key = await panel.post('/api/auth/api-keys', { name: 'a key' }, user.token);
  const tokens = [user.token, key.body.data.key];
  for (const token of tokens) expect((await sibling.get('/api/auth/me', token)).status).toBe(200);
  expect((await resetPassword(user)).status).toBe(200);
  for (const token of tokens) {
    const role = await sibling.post('/api/admin/roles', { name: 'a way back', permissions: ['*'] }, token);
    expect(role).toMatchObject({ status: 401, body: { code: 'auth.invalid_token' } });
  }
});

describe('an account that goes while somebody uses it', () => {
  /** Whether a statement of this test's panels waits for a row that another transaction holds. */
  function somebodyWaits() {
    return eventually('a statement waits for the lock', async () => {
      const { rows } = await panel.context.database.pool.query<{ waiting: number }>(
        `SELECT count(*)::int AS "waiting" FROM pg_stat_activity
         WHERE datname = current_database() AND wait_event_type = 'Lock'`,
      );
      return (rows[0]?.waiting ?? 0) > 0;
    });
  }

  test('is refreshed before or after, and neither fails of the other', async () => {
    const user = await panel.createUser();
    const login = await panel.post('/api/auth/login', { email: user.email, password: user.password });
    const { refreshToken } = login.body.data;
    const deletion = await panel.context.database.pool.connect();
    try {
      await deletion.query('BEGIN');
      await deletion.query('UPDATE "Session" SET "revokedAt" = now() WHERE "userId" = $1', [user.id]);
      const refreshed = sibling.post('/api/auth/refresh', { refreshToken });
      await somebodyWaits();
      await deletion.query('DELETE FROM "User" WHERE "id" = $1', [user.id]);
      await deletion.query('COMMIT');
      expect(await refreshed).toMatchObject({ status: 401, body: { code: 'auth.invalid_token' } });
    } finally {
      deletion.release(true);
    }
  });

  test('signs out everywhere else before or after, and neither fails of the other', async () => {
    const user = await panel.createUser();
    const deletion = await panel.context.database.pool.connect();
    try {
      await deletion.query('BEGIN');
      await deletion.query('SELECT FROM "User" WHERE "id" = $1 FOR UPDATE', [user.id]);
      const ended = sibling.delete('/api/auth/sessions', user.token);
      await somebodyWaits();
      await deletion.query('DELETE FROM "User" WHERE "id" = $1', [user.id]);
      await deletion.query('COMMIT');
      expect(await ended).toMatchObject({ status: 401, body: { code: 'auth.invalid_token' } });
    } finally {
      deletion.release(true);
    }
  });

  test('has its password changed before or after, and neither fails of the other', async () => {
    const user = await panel.createUser();
    const change = await sibling.context.database.pool.connect();
    try {
      await change.query('BEGIN');
      await change.query('UPDATE "User" SET "passwordHash" = $2 WHERE "id" = $1', [user.id, 'another']);
      const deleted = panel.delete(`/api/admin/users/${user.id}`, administrator.token);
      await somebodyWaits();
      await change.query('UPDATE "Session" SET "revokedAt" = now() WHERE "userId" = $1', [user.id]);
      await change.query('COMMIT');
      expect((await deleted).status).toBe(200);
    } finally {
      change.release(true);
    }
  });
});
