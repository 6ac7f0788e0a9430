import type { Attributes } from 'ssh2';
import type { FileEntry } from '../protocol/data-plane.js';

const KINDS: Record<FileEntry['kind'], { bits: number; letter: string }> = {
  file: { bits: 0o100000, letter: '-' },
  directory: { bits: 0o040000, letter: 'd' },
  link: { bits: 0o120000, letter: 'l' },
  // Whatever it is, it is not opened: clients leave pipes alone.
  other: { bits: 0o010000, letter: 'p' },
};
const PERMISSIONS = 0o777;
const SECONDS_MAX = 0xffff_ffff;
const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Of files that are older, `ls` shows the year instead of the hour. */
const RECENT_MS = 182 * 24 * 60 * 60_000;

/** Whose a file is on its node is nobody's business here: everything is shown as the server's. */
export function attributesOf({ kind, sizeBytes, mode, modifiedAtMs }: FileEntry): Attributes {
  const seconds = Math.min(Math.max(Math.floor(modifiedAtMs / 1000), 0), SECONDS_MAX);
  return {
    mode: KINDS[kind].bits | (mode & PERMISSIONS),
    uid: 0,
    gid: 0,
    size: sizeBytes,
    atime: seconds,
    mtime: seconds,
  };
}

/** A line as of `ls -l`, which clients show and some even read. */
export function longName(entry: FileEntry, now: Date): string {
  const { kind, mode, sizeBytes, modifiedAtMs, name } = entry;
  const links = kind === 'directory' ? 2 : 1;
  const size = String(sizeBytes).padStart(12);
  return `${KINDS[kind].letter}${letters(mode)} ${links} server   server   ${size} ${shownTime(modifiedAtMs, now)} ${name}`;
}

function letters(mode: number): string {
  return [6, 3, 0]
    .map((shift) => (mode >> shift) & 7)
    .map((bits) => `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`)
    .join('');
}

function shownTime(modifiedAtMs: number, now: Date): string {
  const time = new Date(modifiedAtMs);
  if (Number.isNaN(time.getTime())) return 'Jan  1  1970';
  const day = `${MONTHS[time.getUTCMonth()]} ${String(time.getUTCDate()).padStart(2)}`;
  const isRecent = Math.abs(now.getTime() - modifiedAtMs) < RECENT_MS;
  return `${day} ${isRecent ? time.toISOString().slice(11, 16) : String(time.getUTCFullYear()).padStart(5)}`;
}
