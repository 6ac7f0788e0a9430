import { FileError } from '../errors.js';

const SHOWN_MAX_CHARACTERS = 200;
/** Characters that would move, hide or turn round what is written after them. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** What is to be said of an entry that nobody should unpack; the message names it. */
export function hostile(name: Buffer | string, why: string): FileError {
  return new FileError(
    'archive.hostile_entry',
    `"${showName(name)}" in the archive ${why}. Nothing was unpacked.`,
  );
}

export function unreadable(why: string, options?: ErrorOptions): FileError {
  return new FileError('archive.unreadable', `${why} Nothing was unpacked.`, options);
}

export function cutOff(): FileError {
  return unreadable('The archive is cut off: its end is missing. Upload it again.');
}

export function remainder(): FileError {
  return unreadable('There is something after the end of the archive.');
}

export function damaged(what: string): FileError {
  return unreadable(`The archive is damaged: ${what}. Upload it again.`);
}

/** Fit for a message, whatever somebody has put into the name. */
export function showName(name: Buffer | string): string {
  const bytes = Buffer.isBuffer(name) ? name.subarray(0, 4 * SHOWN_MAX_CHARACTERS).toString() : name;
  const escaped = bytes
    .slice(0, SHOWN_MAX_CHARACTERS)
    .toWellFormed()
    .replace(UNSEEN, (character) => `\\u{${character.codePointAt(0)?.toString(16)}}`);
  return escaped.slice(0, SHOWN_MAX_CHARACTERS);
}
