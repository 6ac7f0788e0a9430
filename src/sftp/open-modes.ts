import ssh2, { type Attributes } from 'ssh2';
import type { FileInput } from '../protocol/data-plane.js';
import { badMessage } from './status.js';

const { OPEN_MODE } = ssh2.utils.sftp;
const PERMISSIONS = 0o777;

export type Opening = Omit<FileInput<'open'>, 'path'>;

/** What a client wants of a file, from the flags and attributes of OPEN. */
export function readOpening(flags: number, attributes: Partial<Attributes>): Opening {
  const has = (flag: number) => (flags & flag) !== 0;
  const write = has(OPEN_MODE.WRITE | OPEN_MODE.APPEND | OPEN_MODE.CREAT | OPEN_MODE.TRUNC | OPEN_MODE.EXCL);
  const [append, create] = [has(OPEN_MODE.APPEND), has(OPEN_MODE.CREAT)];
  const [exclusive, truncate] = [has(OPEN_MODE.EXCL), has(OPEN_MODE.TRUNC)];
  if (exclusive && !create) throw badMessage('EXCL goes with CREAT only.');
  return {
    read: has(OPEN_MODE.READ) || !write,
    write,
    append,
    create,
    exclusive,
    truncate,
    // A file that is written anew: until all of it has come, the one before it stays.
    atClose: create && (truncate || exclusive) && !append,
    ...(create && modeOf(attributes)),
  };
}

/** Whether nothing but reading is asked for. */
export function isReadOnly(flags: number): boolean {
  return (flags & ~OPEN_MODE.READ) === 0;
}

/** The permission bits, where a client gave some. */
export function modeOf({ mode }: Partial<Attributes>): { mode?: number } {
  return typeof mode === 'number' ? { mode: mode & PERMISSIONS } : {};
}
