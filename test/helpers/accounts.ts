import { generate } from 'otplib';
import { expect } from 'vitest';
import type { Answer, Panel, TestUser } from './panel.js';

const STEP_SECONDS = 30;

/** What an authenticator app shows, so many steps of 30 s from now. */
export async function codeOf(secret: string, steps = 0): Promise<string> {
  return generate({ secret, epoch: Math.floor(Date.now() / 1000) + steps * STEP_SECONDS });
}

/** Gives an account a second factor. The code of the current step is still good; that of the step before is not. */
export async function enableTwoFactor(
  panel: Pick<Panel, 'post'>,
  { token, password }: Pick<TestUser, 'token' | 'password'>,
): Promise<{ secret: string; code: string; recoveryCodes: string[] }> {
  const enrolment = await panel.post('/api/auth/two-factor/enrol', { password }, token);
  const { secret } = enrolment.body.data as { secret: string };
  const confirm = async () => {
    const code = await codeOf(secret, -1);
    return { code, answer: await panel.post('/api/auth/two-factor/confirm', { code }, token) };
  };
  let { code, answer } = await confirm();
  // A new step may have begun on the way.
  if (answer.status === 401) ({ code, answer } = await confirm());
  if (answer.status !== 200) throw new Error(`not confirmed: ${answer.text}`);
  return { secret, code, recoveryCodes: answer.body.data.recoveryCodes };
}

/** The whole API key as its creation answers it: `{ id, key, … }`. */
export async function createApiKey(
  panel: Pick<Panel, 'post'>,
  token: string,
  fields: { permissions?: string[]; expiresAt?: string } = {},
): Promise<{ id: string; key: string; prefix: string }> {
  const answer = await panel.post('/api/auth/api-keys', { name: 'a key', ...fields }, token);
  if (answer.status !== 201) throw new Error(`no key was made: ${answer.text}`);
  return answer.body.data as { id: string; key: string; prefix: string };
}

/** Of a route for managing the account that one is signed in to. */
export async function expectSessionOnly(
  panel: Pick<Panel, 'call' | 'post' | 'createUser'>,
  [method, url, body]: readonly [method: string, url: string, body?: unknown],
): Promise<void> {
  expect(await panel.call(method, url, body)).toMatchObject({ status: 401, body: { code: 'auth.required' } });
  const { token } = await panel.createUser();
  const { key } = await createApiKey(panel, token);
  const refused = { status: 403, body: { code: 'auth.session_required' } };
  expect(await panel.call(method, url, body, key)).toMatchObject(refused);
}

/** The actions of the audit log that are about an account or done by it, oldest first. */
export async function accountAudit(panel: Panel, userId: string): Promise<string[]> {
  const rows = await panel.context.database.prisma.auditLog.findMany({
    where: { userId },
    orderBy: { id: 'asc' },
    select: { action: true },
  });
  return rows.map(({ action }) => action);
}

/**
 * So many requests, a dozen at a time: all at once they would wait for one account's lock longer than a slow machine
 * lets a transaction wait.
 */
export async function askInWaves(count: number, ask: (index: number) => Promise<Answer>): Promise<Answer[]> {
  const answers: Answer[] = [];
  while (answers.length < count) {
    const wave = Array.from({ length: Math.min(12, count - answers.length) }, (_, index) =>
      ask(answers.length + index),
    );
    answers.push(...(await Promise.all(wave)));
  }
  return answers;
}

export function statusesOf(answers: readonly Answer[]): number[] {
  return answers.map(({ status }) => status).sort((a, b) => a - b);
}
