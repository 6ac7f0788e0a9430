import { HostFailure } from './failure.js';
import { randomPassword, randomTrialName, randomUsername } from './names.js';
import type { Account, HostSession } from './session.js';

/** What a server's database may have open at once: enough for a few plugins with pools of their own. */
export const CONNECTIONS_MAX = 20;

export function newAccount({ name, remote }: { name: string; remote: string }): Account {
  return {
    name,
    remote,
    username: randomUsername(),
    password: randomPassword(),
    maxConnections: CONNECTIONS_MAX,
  };
}

/**
 * Makes user and database on a host where neither was. Null: done. After a failure nothing is left when `isUndone`;
 * otherwise there may be anything of it, now or in a moment: a host that was cut off may still be at work.
 */
export async function provision(
  session: HostSession,
  account: Account,
): Promise<{ error: unknown; isUndone: boolean } | null> {
  let undo: () => Promise<unknown> = async () => {};
  try {
    await session.createUser(account);
    undo = () => session.dropUser(account);
    await session.createDatabase(account);
    undo = () => session.remove(account);
    await session.grant(account);
    return null;
  } catch (error) {
    const isKnown = error instanceof HostFailure && error.kind !== 'unavailable';
    const isUndone = isKnown && (await undo().then(isTrue, isFalse));
    return { error, isUndone };
  }
}

/** Whether the host can be used, found out by using it. Answers its version, throws `HostFailure`. */
export async function tryOut(session: HostSession): Promise<string> {
  const version = await session.inspect();
  const trial = newAccount({ name: randomTrialName(), remote: '%' });
  const failed = await provision(session, trial);
  if (failed) throw failed.isUndone ? failed.error : leftBehind(failed.error, trial);
  try {
    await session.setPassword({ ...trial, password: randomPassword() });
    await session.remove(trial);
  } catch (error) {
    throw leftBehind(error, trial);
  }
  return version;
}

function leftBehind(error: unknown, { name, username }: Account): unknown {
  if (!(error instanceof HostFailure)) return error;
  const left = `The user ${username} and the database ${name}, made to try the host out, may still be there`;
  return new HostFailure(error.kind, `${error.message}. ${left}`);
}

const isTrue = () => true;
const isFalse = () => false;
