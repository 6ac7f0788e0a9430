import { randomUUID } from 'node:crypto';
import { pathIn, ROOT } from './paths.js';
import type { FileTarget } from './targets.js';

const PREFIX = '.catalyst-waiting-';
/** Longer than any request lasts: nobody comes back for it. */
const FORGOTTEN_AFTER_MS = 2 * 60 * 60_000;
const LOOKED_AT_MAX = 100;

/** Where an uploaded file waits until it is known where it belongs. */
export function waitingPath(): string {
  return pathIn(ROOT, `${PREFIX}${randomUUID()}`);
}

/** Removes what panels that were killed in the middle of an upload have left. */
export async function removeForgotten(operate: FileTarget['operate']): Promise<void> {
  const { entries } = await operate('list', { path: ROOT, after: PREFIX, limit: LOOKED_AT_MAX });
  const isForgotten = ({ name, modifiedAtMs }: { name: string; modifiedAtMs: number }) =>
    name.startsWith(PREFIX) && Date.now() - modifiedAtMs > FORGOTTEN_AFTER_MS;
  for (const { name } of entries.filter(isForgotten)) {
    await operate('remove', { path: pathIn(ROOT, name), recursive: false });
  }
}
