import type { FileEntry } from '../../protocol/data-plane.js';
import type { FileView } from './schemas.js';

const PERMISSION_BITS = 0o7777;
const MODE_DIGITS = 4;

export function fileView({ name, kind, sizeBytes, mode, modifiedAtMs }: FileEntry): FileView {
  const isDirectory = kind === 'directory';
  return {
    name,
    size: isDirectory ? 0 : sizeBytes,
    isDirectory,
    isLink: kind === 'link',
    mode: (mode & PERMISSION_BITS).toString(8).padStart(MODE_DIGITS, '0'),
    modified: new Date(Math.trunc(modifiedAtMs)).toISOString(),
  };
}
