/** Also what is unpacked at most, so that whoever packs can unpack. */
export const ENTRIES_MAX = 200_000;
/** Of all entries together: their names are kept until the end. */
export const NAMES_MAX_BYTES = 64 * 1024 * 1024;
export const TARGET_MAX_BYTES = 4095;

/** What is found to be packed. */
export interface TreeEntry {
  /** Relative, without a slash at its end. As bytes: a name need not be text. */
  name: Buffer;
  kind: 'file' | 'directory' | 'link';
  /** Permission bits. */
  mode: number;
  modifiedAtMs: number;
  /** Of the content; 0 for what is no file. */
  sizeBytes: number;
  /** Of a link. */
  target: Buffer;
}

/** What goes into an archive. */
export interface PackedEntry extends TreeEntry {
  /**
   * Exactly as much as announced. To be read before the next entry is asked for, and each piece of it to be done with before
   * the next piece is: their memory is used again.
   */
  content: Buffer | AsyncIterable<Buffer>;
}

/** What is in an archive, as it says: nothing of it has been checked but that it can be read. */
export interface FoundEntry {
  name: Buffer;
  /** `hard link`: a second name of a file that came before. `special`: a device or the like. */
  kind: 'file' | 'directory' | 'link' | 'hard link' | 'special';
  /** With the bits of set-user-id and the like. Null: the archive does not say. */
  mode: number | null;
  modifiedAtMs: number | null;
  sizeBytes: number;
  target: Buffer;
  /** Exactly so many bytes, or an error. To be read before the next entry is asked for, or not at all. */
  content: AsyncIterable<Buffer>;
}

/**
 * Whether a link can only lead to places inside of what it is unpacked into. `..` is taken at the beginning alone: after a
 * name it could climb out by way of another link.
 * @param depth Of the directory the link is in.
 */
export function isSafeTarget(target: Buffer, depth: number): boolean {
  if (target.length === 0 || target.length > TARGET_MAX_BYTES || target.includes(0)) return false;
  const text = target.toString('latin1');
  if (text.startsWith('/')) return false;
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  const ups = parts.findIndex((part) => part !== '..');
  const climbed = ups === -1 ? parts.length : ups;
  return climbed <= depth && !parts.slice(climbed).includes('..');
}

export async function* nothing(): AsyncGenerator<Buffer> {}
