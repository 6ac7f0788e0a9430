import { createTokenBucket } from '../lib/token-bucket.js';

/** What ids are made of: nothing else is looked for. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Ids known not to be the node's are not asked about again for so long. */
const REFUSED_FOR_MS = 5000;
const REFUSED_MAX = 1000;
/** So long what was found counts: another panel may give the server to another node, and tells nobody here. */
const TRUSTED_FOR_MS = 30_000;
/** A hostile agent invents ids faster than the database should be asked about them. */
const LOOKUPS = { capacity: 50, refillPerSecond: 10 };
/** The servers of a large node would all be due at once; those that have to wait are trusted a little longer. */
const CHECKS = { capacity: 20, refillPerSecond: 50 };

/** Which servers an agent may speak about: those on its own node. */
export interface Ownership {
  /** A promise only when the database has to be asked. */
  owns(serverId: string): boolean | Promise<boolean>;
  forget(serverId: string): void;
}

export function createOwnership(options: {
  serverIds: Iterable<string>;
  isPlacedHere: (serverId: string) => Promise<boolean>;
}): Ownership {
  const trustedUntil = new Map([...options.serverIds].map((id) => [id, Date.now() + TRUSTED_FOR_MS]));
  const refusedUntil = new Map<string, number>();
  const lookups = createTokenBucket(LOOKUPS);
  const checks = createTokenBucket(CHECKS);

  async function lookUp(serverId: string): Promise<boolean> {
    if (await options.isPlacedHere(serverId)) {
      trustedUntil.set(serverId, Date.now() + TRUSTED_FOR_MS);
      return true;
    }
    // The oldest goes first: a Map keeps the order in which its keys came.
    const oldest = refusedUntil.size >= REFUSED_MAX ? refusedUntil.keys().next().value : undefined;
    if (oldest !== undefined) refusedUntil.delete(oldest);
    refusedUntil.set(serverId, Date.now() + REFUSED_FOR_MS);
    return false;
  }

  /** Beside the messages: a console must not wait for the database, nor end with it. */
  function lookAgain(serverId: string): void {
    trustedUntil.set(serverId, Date.now() + TRUSTED_FOR_MS);
    options.isPlacedHere(serverId).then(
      (isPlaced) => !isPlaced && trustedUntil.delete(serverId),
      () => {},
    );
  }

  return {
    owns(serverId) {
      const untilMs = trustedUntil.get(serverId);
      if (untilMs !== undefined) {
        if (untilMs <= Date.now() && checks.take()) lookAgain(serverId);
        return true;
      }
      if ((refusedUntil.get(serverId) ?? 0) > Date.now()) return false;
      refusedUntil.delete(serverId);
      if (!ID.test(serverId)) return false;
      return lookups.take() ? lookUp(serverId) : false;
    },
    forget(serverId) {
      trustedUntil.delete(serverId);
    },
  };
}
