import { expect, test } from 'vitest';
import { codeOf } from '../helpers/accounts.js';
import { type Answer, startPanel } from '../helpers/panel.js';

const PASSWORD = 'planted-password-of-an-account';
const NEW_PASSWORD = 'planted-password-that-is-new';
const WRONG_PASSWORD = 'planted-password-that-is-wrong';

test('secrets are in the answer that makes them and in no other, and in no line of the log', async () => {
  const lines: string[] = [];
  const panel = await startPanel({ log: { level: 'trace', write: (line) => lines.push(line) } });
  const answers: Answer[] = [];
  /** With the answers that may hold them: none where they came from outside. */
  const secrets: { text: string; madeBy: Answer[] }[] = [];

  async function call(method: string, url: string, body?: unknown, token?: string): Promise<Answer> {
    const answer = await panel.call(method, `/api/auth${url}`, body, token);
    answers.push(answer);
    return answer;
  }
  function plant(madeBy: Answer[], ...texts: string[]): void {
    for (const text of texts) secrets.push({ text, madeBy });
  }
  plant([], PASSWORD, NEW_PASSWORD, WRONG_PASSWORD);

  const email = 'planted@example.com';
  const registered = await call('POST', '/register', { email, username: 'planted', password: PASSWORD });
  const { token, refreshToken } = registered.body.data;
  plant([registered], refreshToken);
  await call('POST', '/register', { email, username: 'planted', password: PASSWORD });
  await call('POST', '/login', { email, password: WRONG_PASSWORD });
  await call('POST', '/login', { email: WRONG_PASSWORD, password: WRONG_PASSWORD });
  const refreshed = await call('POST', '/refresh', { refreshToken });
  plant([refreshed], refreshed.body.data.refreshToken);
  // Within one second the two are the same.
  plant([registered, refreshed], token, refreshed.body.data.token);

  const created = await call('POST', '/api-keys', { name: 'a key' }, token);
  const { id, key } = created.body.data;
  plant([created], key);
  await call('GET', '/me', undefined, key);
  await call('GET', `/me?token=${key}`);
  await call('POST', '/api-keys', { name: 'a key' }, key);

  await call('POST', '/two-factor/enrol', { password: WRONG_PASSWORD }, token);
  const enrolled = await call('POST', '/two-factor/enrol', { password: PASSWORD }, token);
  const { secret } = enrolled.body.data;
  plant([enrolled], secret);
  const confirmed = await call('POST', '/two-factor/confirm', { code: await codeOf(secret) }, token);
  const [recoveryCode = '', ...recoveryCodes] = confirmed.body.data.recoveryCodes as string[];
  plant([confirmed], recoveryCode, ...recoveryCodes);
  const challenged = await call('POST', '/login', { email, password: PASSWORD });
  const { ticket } = challenged.body;
  plant([challenged], ticket);
  await call('POST', '/two-factor', { ticket, recoveryCode: 'wrong' });
  const entered = await call('POST', '/two-factor', { ticket, recoveryCode });
  plant([entered], entered.body.data.token, entered.body.data.refreshToken);

  await call('PATCH', '/me', { email: 'other@example.com', currentPassword: WRONG_PASSWORD }, token);
  await call('POST', '/change-password', { currentPassword: PASSWORD, newPassword: NEW_PASSWORD }, token);
  for (const url of ['/me', '/sessions', '/api-keys', '/two-factor', '/ssh-keys']) {
    await call('GET', url, undefined, token);
  }
  await call('DELETE', `/api-keys/${id}`, undefined, token);
  await call('DELETE', '/me', { password: NEW_PASSWORD }, token);
  expect(answers.filter(({ status }) => status === 200 || status === 201)).toHaveLength(15);

  const log = lines.join('');
  expect(lines.length).toBeGreaterThan(20);
  const { rows } = await panel.context.database.pool.query('SELECT "metadata" FROM "AuditLog"');
  const audited = JSON.stringify(rows);
  for (const { text, madeBy } of secrets) {
    const holding = answers.filter((answer) => answer.text.includes(text));
    expect(holding.filter((answer) => !madeBy.includes(answer))).toEqual([]);
    expect(holding.length > 0).toBe(madeBy.length > 0);
    expect(log).not.toContain(text);
    expect(audited).not.toContain(text);
  }
  await panel.close();
});
