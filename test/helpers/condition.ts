import { setTimeout as delay } from 'node:timers/promises';

const WAIT_MS = 10_000;
const INTERVAL_MS = 20;

/** Asks again until the answer is something, and gives it. */
export async function eventually<Found>(
  what: string,
  ask: () => Promise<Found | null | undefined | false> | Found | null | undefined | false,
): Promise<Found> {
  const deadline = Date.now() + WAIT_MS;
  for (;;) {
    const found = await ask();
    if (found) return found;
    if (Date.now() > deadline) throw new Error(`waited in vain: ${what}`);
    await delay(INTERVAL_MS);
  }
}
