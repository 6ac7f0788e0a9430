import { readFileSync } from 'node:fs';

/** What Linux counts processor time in, wherever it runs. */
const TICKS_PER_SECOND = 100;
/** Of `/proc/<pid>/stat`, after the name of the program. */
const FIELDS = { own: [11, 12], ended: [13, 14] };

/** Seconds that a process has been on a processor. `withEnded`: and its children that have ended. */
export function processorSeconds(pid: number, { withEnded = false } = {}): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  // A program can have any name, also one with a parenthesis in it.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const counted = withEnded ? [...FIELDS.own, ...FIELDS.ended] : FIELDS.own;
  return counted.reduce((sum, field) => sum + Number(fields[field]), 0) / TICKS_PER_SECOND;
}

/** Of our own children that have ended: clients that were run to the end. */
export function endedChildrenSeconds(): number {
  return processorSeconds(process.pid, { withEnded: true }) - processorSeconds(process.pid);
}
