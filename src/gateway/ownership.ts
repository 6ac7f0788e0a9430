import { createTokenBucket } from '../lib/token-bucket.js';

/** What ids are made of: nothing else is looked for. */
const ID = /^[A-Za-z0-9_-]{1,64}$/;
/** Ids known not to be the node's are not asked about again for so long. */
const REFUSED_FOR_MS = 5000;
const REFUSED_MAX = 1000;
/** A hostile agent invents ids faster than the database should be asked about them. */
const LOOKUPS = { capacity: 50, refillPerSecond: 10 };

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
  const owned = new Set(options.serverIds);
  const refusedUntil = new Map<string, number>();
  const lookups = createTokenBucket(LOOKUPS);

  async function lookUp(serverId: string): Promise<boolean> {
    if (await options.isPlacedHere(serverId)) {
      owned.add(serverId);
      return true;
    }
    // The oldest goes first: a Map keeps the order in which its keys came.
    const oldest = refusedUntil.size >= REFUSED_MAX ? refusedUntil.keys().next().value : undefined;
    if (oldest !== undefined) refusedUntil.delete(oldest);
    refusedUntil.set(serverId, Date.now() + REFUSED_FOR_MS);
    return false;
  }

  return {
    owns(serverId) {
      if (owned.has(serverId)) return true;
      if ((refusedUntil.get(serverId) ?? 0) > Date.now()) return false;
      refusedUntil.delete(serverId);
      if (!ID.test(serverId)) return false;
      return lookups.take() ? lookUp(serverId) : false;
    },
    forget(serverId) {
      owned.delete(serverId);
    },
  };
}
