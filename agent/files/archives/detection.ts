import type { FileHandle } from 'node:fs/promises';
import { unreadable } from './refusals.js';

export type ArchiveKind = 'tar' | 'gzip' | 'zstd' | 'zip';

const HEAD_BYTES = 8;
/** Kinds are told by how a file begins, whatever its name is. */
const BEGINNINGS: [kind: ArchiveKind, bytes: number[]][] = [
  ['gzip', [0x1f, 0x8b]],
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['zip', [0x50, 0x4b, 3, 4]],
  // With nothing in it.
  ['zip', [0x50, 0x4b, 5, 6]],
];
const OTHER_BEGINNINGS: [name: string, bytes: number[]][] = [
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['7z', [0x37, 0x7a, 0xbc, 0xaf]],
  ['rar', [0x52, 0x61, 0x72, 0x21]],
  ['zip in several parts', [0x50, 0x4b, 7, 8]],
];

/** What is none of the others is a tar archive, or found to be none by who reads it. */
export async function detectKind(file: FileHandle): Promise<ArchiveKind> {
  const { buffer: head, bytesRead } = await file.read(Buffer.alloc(HEAD_BYTES), 0, HEAD_BYTES, 0);
  if (bytesRead === 0) throw unreadable('The file is empty: upload it again.');
  const beginsWith = (bytes: number[]) => bytes.every((byte, index) => head[index] === byte);
  const other = OTHER_BEGINNINGS.find(([, bytes]) => beginsWith(bytes));
  if (other !== undefined) {
    throw unreadable(`Archives of the kind ${other[0]} cannot be read: use tar, tar.gz, tar.zst or zip.`);
  }
  return BEGINNINGS.find(([, bytes]) => beginsWith(bytes))?.[0] ?? 'tar';
}
