import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onTestFinished } from 'vitest';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** The most memory for bytes that was in use since, beyond what was at first. Beyond the limit it looks closely. */
export function watchMemory(limitBytes: number): () => number {
  const used = () => process.memoryUsage().arrayBuffers;
  collectGarbage();
  const first = used();
  let most = 0;
  const timer = setInterval(() => {
    // What nobody holds any more does not count, but to find that out takes long.
    if (used() - first > limitBytes) collectGarbage();
    most = Math.max(most, used() - first);
  }, 5);
  onTestFinished(() => clearInterval(timer));
  return () => most;
}
