import { isUtf8 } from 'node:buffer';
import { isOwnName } from '../paths/own-names.js';
import { DEPTH_MAX, NAME_MAX_BYTES } from '../paths/paths.js';
import { SPECIAL_BITS } from '../paths/regular.js';
import { ENTRIES_MAX, type FoundEntry, isSafeTarget, NAMES_MAX_BYTES } from './entries.js';
import { hostile, unreadable } from './refusals.js';

/** So much may come of any archive; of more at most so many times the size of the archive. */
const UNSUSPICIOUS_BYTES = 100 * 1024 * 1024;
const RATIO_MAX = 1000;
const UNPACKED_MAX_BYTES = 16 * 1024 ** 4;

const FILE_MODE = 0o644;
const DIRECTORY_MODE = 0o755;

/** An entry that may be unpacked, with the names that lead to it. */
export interface Admitted {
  parts: Buffer[];
  kind: 'file' | 'directory' | 'link' | 'copy';
  mode: number;
  modifiedAtMs: number | null;
  sizeBytes: number;
  target: Buffer;
  /** Of the file in the archive that a copy is made of. */
  original: Buffer[];
  content: AsyncIterable<Buffer>;
}

interface Seen {
  parts: Buffer[];
  /** `implied`: only because something is in it. */
  kind: 'file' | 'directory' | 'link' | 'implied';
  mode: number;
  sizeBytes: number;
}

export interface AdmissionOptions {
  /** How many directories what is unpacked will be in. */
  depth: number;
  archiveBytes: number;
  /** Made where `\` is a slash and `C:` a disk. */
  isFromAnySystem: boolean;
}

/**
 * What of an archive may be unpacked: the rules that any hostile entry breaks.
 * @returns Null for what is to be left out without a word.
 */
export function createAdmission(options: AdmissionOptions): (entry: FoundEntry) => Admitted | null {
  const seen = new Map<string, Seen>();
  const totals = { entries: 0, nameBytes: 0, bytes: 0 };

  function admit(entry: FoundEntry): Admitted | null {
    totals.entries += 1;
    totals.nameBytes += entry.name.length + entry.target.length;
    if (totals.entries > ENTRIES_MAX) throw unreadable(`There are more than ${ENTRIES_MAX} files in it.`);
    if (totals.nameBytes > NAMES_MAX_BYTES) throw unreadable('The names in it are absurdly long.');
    const parts = namesOf(entry.name, options);
    if (parts.length === 0) {
      if (entry.kind !== 'directory') throw hostile(entry.name, 'has no name');
      return null;
    }
    if (parts.some((part) => isOwnName(part.toString('latin1')))) return null;
    const kind = kindOf(entry);
    const original = kind === 'copy' ? originalOf(entry) : null;
    const mode = original?.mode ?? modeOf(entry);
    const sizeBytes = original?.sizeBytes ?? entry.sizeBytes;
    expectBelievable(entry.name, sizeBytes);
    if (kind === 'link' && !isSafeTarget(entry.target, parts.length - 1)) {
      throw hostile(entry.name, 'is a link that could lead out of the directory');
    }
    remember(entry.name, { parts, kind: kind === 'copy' ? 'file' : kind, mode, sizeBytes });
    const { target, content, modifiedAtMs } = entry;
    return { parts, kind, mode, modifiedAtMs, sizeBytes, target, content, original: original?.parts ?? [] };
  }

  /** Sizes are what the archive says they are: those who unpack hold it to that. */
  function expectBelievable(name: Buffer, sizeBytes: number) {
    totals.bytes += sizeBytes;
    const believable = Math.max(UNSUSPICIOUS_BYTES, RATIO_MAX * options.archiveBytes);
    if (totals.bytes <= Math.min(believable, UNPACKED_MAX_BYTES)) return;
    throw hostile(name, 'would unpack to more than can be believed of an archive of this size');
  }

  function originalOf(entry: FoundEntry): Seen {
    const original = seen.get(keyOf(namesOf(entry.target, options, entry.name)));
    if (original?.kind === 'file') return original;
    throw hostile(entry.name, 'is a hard link to what is no file before it in the archive');
  }

  function remember(name: Buffer, entry: Seen) {
    for (let depth = 1; depth < entry.parts.length; depth += 1) {
      const parts = entry.parts.slice(0, depth);
      const above = seen.get(keyOf(parts));
      if (above === undefined) {
        totals.entries += 1;
        seen.set(keyOf(parts), { parts, kind: 'implied', mode: DIRECTORY_MODE, sizeBytes: 0 });
      } else {
        expectSame(name, above.parts, parts);
        if (above.kind === 'file' || above.kind === 'link') throw hostile(name, 'is in what is no directory');
      }
    }
    const key = keyOf(entry.parts);
    const before = seen.get(key);
    if (before !== undefined) {
      expectSame(name, before.parts, entry.parts);
      if (entry.kind !== 'directory' || before.kind !== 'implied') throw hostile(name, 'is there twice');
    }
    seen.set(key, entry);
  }

  return admit;
}

/** What looks the same to who reads it must be the same. */
function expectSame(name: Buffer, before: Buffer[], parts: Buffer[]) {
  if (parts.every((part, index) => before[index]?.equals(part))) return;
  throw hostile(name, 'has the same name as another one, only written in other characters');
}

/** @throws FileError when the name leads out or nowhere. @param shown The entry that is to blame. */
function namesOf(name: Buffer, { depth, isFromAnySystem }: AdmissionOptions, shown = name): Buffer[] {
  const text = name.toString('latin1');
  if (text.includes('\0')) throw hostile(shown, 'has a NUL character in its name');
  if (text.startsWith('/')) throw hostile(shown, 'has an absolute path');
  if (isFromAnySystem && text.includes('\\')) throw hostile(shown, 'has a backslash in its name');
  if (isFromAnySystem && /^[A-Za-z]:/.test(text)) throw hostile(shown, 'has the name of a disk in its path');
  const parts = text.split('/').filter((part) => part !== '' && part !== '.');
  if (parts.includes('..')) throw hostile(shown, 'has ".." in its path');
  if (depth + parts.length > DEPTH_MAX) throw hostile(shown, 'is in too many directories');
  if (parts.some((part) => part.length > NAME_MAX_BYTES)) throw hostile(shown, 'has too long a name');
  return parts.map((part) => Buffer.from(part, 'latin1'));
}

function kindOf({ name, kind, mode }: FoundEntry): Admitted['kind'] {
  if (kind === 'special') throw hostile(name, 'is a device, a FIFO or a socket');
  if (kind === 'directory' || kind === 'link') return kind;
  if (((mode ?? 0) & SPECIAL_BITS) !== 0) {
    throw hostile(name, 'has set-user-id, set-group-id or sticky bits');
  }
  return kind === 'hard link' ? 'copy' : 'file';
}

/** Whoever owns it can use it. */
function modeOf({ kind, mode }: FoundEntry): number {
  if (kind === 'directory') return ((mode ?? DIRECTORY_MODE) & 0o777) | 0o700;
  return ((mode ?? FILE_MODE) & 0o777) | 0o600;
}

/** The same for names that are the same once composed, as some systems and eyes see them. */
function keyOf(parts: Buffer[]): string {
  const path = Buffer.concat(parts.flatMap((part) => [part, SLASH]));
  return isUtf8(path) ? path.toString().normalize('NFC') : `\0${path.toString('latin1')}`;
}

const SLASH = Buffer.from('/');
