import type { FileEntry } from '../../protocol/data-plane.js';
import type { FileView } from './schemas.js';

const PERMISSION_BITS = 0o7777;
const MODE_DIGITS = 4;
/** Some file systems keep times that no date is written for, and games set any. */
const EARLIEST_MS = Date.parse('0001-01-01T00:00:00Z');
const LATEST_MS = Date.parse('9999-12-31T23:59:59Z');

export function fileView({ name, kind, sizeBytes, mode, modifiedAtMs }: FileEntry): FileView {
  const isDirectory = kind === 'directory';
  return {
    name,
    size: isDirectory ? 0 : sizeBytes,
    isDirectory,
    isLink: kind === 'link',
    mode: (mode & PERMISSION_BITS).toString(8).padStart(MODE_DIGITS, '0'),
    modified: modifiedAt({ modifiedAtMs }).toISOString(),
  };
}

export function modifiedAt({ modifiedAtMs }: Pick<FileEntry, 'modifiedAtMs'>): Date {
  return new Date(Math.min(Math.max(Math.trunc(modifiedAtMs), EARLIEST_MS), LATEST_MS));
}
