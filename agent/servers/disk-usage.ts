import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { constants, setPriority } from 'node:os';
import { text } from 'node:stream/consumers';

const MEASUREMENT_MAX_MS = 10 * 60_000;

/** What the directory takes on its disk, counted now by a process of its own that lets everything else go first. */
export async function measureBytes(directory: string): Promise<number> {
  // `du` ends with 1 when files vanish under it; what it has counted is right all the same.
  const child = spawn('du', ['-skx', '--', directory], {
    stdio: ['ignore', 'pipe', 'ignore'],
    timeout: MEASUREMENT_MAX_MS,
  });
  yieldToOthers(child.pid);
  const [output] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  const kilobytes = Number.parseInt(output, 10);
  if (Number.isNaN(kilobytes)) throw new Error('du told no size');
  return kilobytes * 1024;
}

function yieldToOthers(pid: number | undefined) {
  try {
    if (pid !== undefined) setPriority(pid, constants.priority.PRIORITY_BELOW_NORMAL);
  } catch {
    // It has ended already, or may not be told.
  }
}
