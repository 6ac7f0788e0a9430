import type { Stats } from 'node:fs';
import { heldBytes } from '../paths/regular.js';
import type { Account, Claim } from './quota.js';

/** Room on the disk for what is written to one open file. */
export interface Room {
  /** For work that makes a file of this status take so much more. */
  during(growthBytes: number, status: Stats, work: () => Promise<void>): Promise<void>;
  /** The file is closed. */
  end(): Promise<void>;
}

export function createRoom(account: Account): Room {
  /** No measurement finds a file that has no name any more: what it takes stays promised until it is closed. */
  let nameless: Promise<Claim> | null = null;

  async function growNameless(bytes: number, status: Stats): Promise<void> {
    nameless ??= account.claim(heldBytes(status)).catch((error: unknown) => {
      nameless = null;
      throw error;
    });
    await (await nameless).grow(bytes);
  }

  return {
    async during(growthBytes, status, work) {
      if (status.nlink === 0) {
        await growNameless(growthBytes, status);
        return await work();
      }
      const claim = await account.claim(growthBytes);
      let isKept = false;
      try {
        await work();
        isKept = true;
        claim.wrote(growthBytes);
      } finally {
        claim.end(isKept);
      }
    },
    async end() {
      (await nameless)?.end(false);
    },
  };
}
