import { HostFailure, needing } from './failure.js';

type Row = Record<string, unknown>;
/** On one connection. Throws `HostFailure`. */
export type Run = (sql: string, values?: unknown[]) => Promise<Row[]>;

/**
 * From where a new user may come. An anonymous user of an installation that was never tidied up hides whoever may come
 * from anywhere: for such an address the user needs an entry of its own.
 */
export async function newOrigins(run: Run, remote: string): Promise<string[]> {
  if (remote !== '%') return [remote];
  const rows = await readable(run(`SELECT Host AS origin FROM mysql.user WHERE User = '' AND Host <> '%'`));
  return [remote, ...rows.map(({ origin }) => String(origin))];
}

export async function existingOrigins(run: Run, username: string, remote: string): Promise<string[]> {
  const rows = await readable(run('SELECT Host AS origin FROM mysql.user WHERE User = ?', [username]));
  return rows.length > 0 ? rows.map(({ origin }) => String(origin)) : [remote];
}

/** Nothing, when the account may not look into the server's own tables. */
async function readable(rows: Promise<Row[]>): Promise<Row[]> {
  return rows.catch((error: unknown) => {
    if (error instanceof HostFailure && error.kind === 'denied') return [];
    throw error;
  });
}

export function forEach(origins: string[], user: string): string {
  return origins.map(() => user).join(', ');
}

export async function endConnections(run: Run, username: string): Promise<void> {
  const processes = await run('SHOW PROCESSLIST');
  for (const { Id: id } of processes.filter(({ User: user }) => user === username)) {
    try {
      await needing('end connections', run('KILL ?', [id]));
    } catch (error) {
      // It has ended by itself.
      if (!(error instanceof HostFailure) || !error.message.startsWith('ER_NO_SUCH_THREAD')) throw error;
    }
  }
}
