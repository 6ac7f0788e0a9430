import { isUtf8 } from 'node:buffer';
import type { Stats } from 'node:fs';
import type { FileEntry } from '../../../src/protocol/data-plane.js';

const PERMISSION_BITS = 0o777;

export function toEntry(name: string, status: Stats): FileEntry {
  return {
    name,
    kind: kindOf(status),
    sizeBytes: status.size,
    mode: status.mode & PERMISSION_BITS,
    modifiedAtMs: Math.trunc(status.mtimeMs),
  };
}

/** A name that is not text cannot be asked for again: it is shown as well as can be, as something other than a file. */
export function toListedEntry(name: Buffer, status: Stats): FileEntry {
  const entry = toEntry(name.toString(), status);
  return isUtf8(name) ? entry : { ...entry, kind: 'other' };
}

function kindOf(status: Stats): FileEntry['kind'] {
  if (status.isFile()) return 'file';
  if (status.isDirectory()) return 'directory';
  return status.isSymbolicLink() ? 'link' : 'other';
}
