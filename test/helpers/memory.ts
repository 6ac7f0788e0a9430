import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { onTestFinished } from 'vitest';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** So often in a row what is too much must be there. */
const LOOKS_MAX = 3;

/** The most memory for bytes that was in use since, beyond what was at first. Beyond the limit it looks closely. */
export function watchMemory(limitBytes: number): () => number {
  const used = () => process.memoryUsage().arrayBuffers;
  collectGarbage();
  const first = used();
  let most = 0;
  let looks = 0;
  const timer = setInterval(() => {
    const more = used() - first;
    // What nobody holds any more does not count. To find that out takes long, and it is given back by another thread.
    if (more > limitBytes && looks < LOOKS_MAX) {
      collectGarbage();
      looks += 1;
      return;
    }
    looks = 0;
    most = Math.max(most, more);
  }, 5);
  onTestFinished(() => clearInterval(timer));
  return () => most;
}
