import type { Pool } from 'pg';
import type { Bus } from '../../events.js';
import { type Actor, credentialId } from '../../lib/actor.js';
import { findLostRights, type HeldRight } from '../../lib/held-rights.js';
import type { Log } from '../../lib/log.js';
import type { AccessibleServer } from '../servers/access.js';
import type { FileRight } from './targets.js';

/** What has ended (a session, an account, a right) ends what goes on by it within two of these, whoever did it. */
const CHECK_INTERVAL_MS = 800;

export interface Hold {
  /** Aborted with an AppError when the actor may not go on. */
  readonly signal: AbortSignal;
  /** It is over by itself. */
  release(): void;
}

/** Who does something that takes longer than a moment, and whether he still may. */
export interface Watch {
  hold(request: { actor: Actor; server: AccessibleServer; rights: readonly FileRight[] }): Hold;
  /** Waits for a check under way. */
  close(): Promise<void>;
}

/** Does what may take minutes; it is told to end when the actor may not go on. */
export async function whileHeld<Value>(
  hold: Hold,
  work: (options: { signal: AbortSignal }) => Promise<Value>,
): Promise<Value> {
  try {
    return await work({ signal: hold.signal });
  } finally {
    hold.release();
  }
}

interface Holder {
  rights: HeldRight[];
  ending: AbortController;
}

export function createWatch({ pool, bus, log }: { pool: Pool; bus: Bus; log: Log }): Watch {
  const holders = new Set<Holder>();
  let timer: NodeJS.Timeout | undefined;
  let checking: Promise<void> | undefined;
  let isDue = false;

  async function check(): Promise<void> {
    const looked = [...holders].flatMap((holder) => holder.rights.map((right) => ({ holder, right })));
    const lost = await findLostRights(
      pool,
      looked.map(({ right }) => right),
    );
    for (const { place, reason } of lost) looked[place]?.holder.ending.abort(reason);
  }

  /** What is heard of during a check is looked at after it. */
  function checkSoon(): void {
    isDue = holders.size > 0;
    if (!isDue || checking) return;
    isDue = false;
    checking = check()
      .catch((error: unknown) => log.warn({ err: error }, 'could not check who works with files'))
      .finally(() => {
        checking = undefined;
        if (isDue) checkSoon();
      });
  }

  function add(holder: Holder): void {
    holders.add(holder);
    timer ??= setInterval(checkSoon, CHECK_INTERVAL_MS);
  }

  function remove(holder: Holder): void {
    holders.delete(holder);
    if (holders.size > 0) return;
    clearInterval(timer);
    timer = undefined;
  }

  bus.on('session.revoked', checkSoon);
  bus.on('apiKey.revoked', checkSoon);
  bus.on('access.changed', checkSoon);
  bus.on('server.deleted', checkSoon);

  return {
    hold({ actor, server, rights }) {
      const ending = new AbortController();
      // The panel itself may whatever it began.
      if (actor.kind === 'system') return { signal: ending.signal, release() {} };
      const held = {
        userId: actor.userId,
        credentialId: credentialId(actor),
        serverId: server.id,
        isDespiteSuspension: server.suspendedAt !== null,
      };
      const holder = { ending, rights: rights.map((permission) => ({ ...held, permission })) };
      add(holder);
      return { signal: ending.signal, release: () => remove(holder) };
    },
    async close() {
      clearInterval(timer);
      holders.clear();
      isDue = false;
      await checking;
    },
  };
}
