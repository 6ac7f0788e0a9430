import { readdirSync, readFileSync } from 'node:fs';

/** A process, told apart from a later one that was given the same number. */
export interface ProcessIdentity {
  pid: number;
  /** Clock ticks after boot; null where there is no /proc to tell. */
  startTime: number | null;
}

// Fields of /proc/<pid>/stat as proc(5) counts them; the name in field 2 may hold anything, so fields are
// counted from the parenthesis that ends it.
const FIRST_FIELD_AFTER_NAME = 3;
const GROUP_FIELD = 5;
const START_TIME_FIELD = 22;

export function readStatFields(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  } catch {
    return null;
  }
}

export function statField(fields: string[], field: number): number {
  return Number(fields[field - FIRST_FIELD_AFTER_NAME]);
}

/** Whether it is there and more than a zombie, which only waits to be collected. */
export function isProcessLiving(pid: number): boolean {
  const fields = readStatFields(pid);
  return fields !== null && fields[0] !== 'Z';
}

/** Whether anything of the process group still runs. */
export function isGroupLiving(processGroup: number): boolean {
  try {
    process.kill(-processGroup, 0);
  } catch {
    return false;
  }
  // The kernel counts zombies too; whether there is more can only be told where there is a /proc.
  const fields = listProcesses()?.map(readStatFields);
  return (
    fields?.some(
      (stat) => stat !== null && stat[0] !== 'Z' && statField(stat, GROUP_FIELD) === processGroup,
    ) ?? true
  );
}

/** Null where there is no /proc. */
export function listProcesses(): number[] | null {
  try {
    return readdirSync('/proc').map(Number).filter(Number.isInteger);
  } catch {
    return null;
  }
}

export function identifyProcess(pid: number): ProcessIdentity {
  const fields = readStatFields(pid);
  return { pid, startTime: fields === null ? null : statField(fields, START_TIME_FIELD) };
}

export function isProcessAlive(identity: ProcessIdentity): boolean {
  try {
    process.kill(identity.pid, 0);
  } catch (error) {
    // EPERM: it exists and belongs to somebody else.
    if (!(error instanceof Error && 'code' in error && error.code === 'EPERM')) return false;
  }
  const fields = readStatFields(identity.pid);
  if (fields === null || identity.startTime === null) return true;
  // A zombie has ended; it only waits to be collected.
  return fields[0] !== 'Z' && statField(fields, START_TIME_FIELD) === identity.startTime;
}
