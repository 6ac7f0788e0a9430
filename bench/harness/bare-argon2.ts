import { hash, verify } from '@node-rs/argon2';
import { PARAMETERS } from '../../src/lib/passwords.js';
import { monotonicMs } from './lines.js';

export type BareArgon2Role = ReturnType<typeof createBareArgon2Role>;

/** The baseline of logins: nothing but the check of a password, with the panel's parameters. */
export function createBareArgon2Role() {
  return {
    /** @returns checks a second with so many under way at once. */
    async verify({ atOnce, seconds }: { atOnce: number; seconds: number }): Promise<number> {
      const stored = await hash('a password', PARAMETERS);
      const startedAtMs = monotonicMs();
      const endsAtMs = startedAtMs + seconds * 1000;
      let checks = 0;
      async function check(): Promise<void> {
        while (monotonicMs() < endsAtMs) {
          await verify(stored, 'a password');
          checks += 1;
        }
      }
      await Promise.all(Array.from({ length: atOnce }, check));
      return checks / ((monotonicMs() - startedAtMs) / 1000);
    },
  };
}
