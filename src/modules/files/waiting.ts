import { randomUUID } from 'node:crypto';
import { WAITING_PREFIX } from '../../protocol/data-plane.js';
import { pathIn, ROOT } from './paths.js';

/** Where an uploaded file waits until it is known where it belongs. What nobody comes back for, its node removes. */
export function waitingPath(): string {
  return pathIn(ROOT, `${WAITING_PREFIX}${randomUUID()}`);
}
