import { NOTE_MAX_LENGTH } from '../protocol/data-plane.js';

/** What is written down of files: directories and links that are made are `create`. */
export type ChangeKind =
  | 'upload'
  /** It may have come: its node went away, or did not answer, while it was to come to its name. */
  | 'unconfirmed-upload'
  | 'create'
  | 'delete'
  | 'rename';

/** Changes of one kind, one after the other. */
export interface Batch {
  count: number;
  /** The first of them, as shown to people. */
  paths: string[];
  bytes: number;
}

/** Of one batch; the others are only counted. */
const PATHS_MAX = 100;
const PATH_MAX_LENGTH = 256;
const PATHS_IN_NOTE_MAX = 5;
const UNIT = 1000;
const UNITS = ['kB', 'MB', 'GB', 'TB'];
/** Control characters, those that turn the direction of text, and other ends of lines. */
const UNSHOWABLE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu;

/** Names are anybody's texts: nothing in them may look like something else in a log. */
export function shownPath(path: string): string {
  const shown = path.replaceAll(
    UNSHOWABLE,
    (character) => `\\u{${character.codePointAt(0)?.toString(16) ?? ''}}`,
  );
  return (shown.length <= PATH_MAX_LENGTH ? shown : `${shown.slice(0, PATH_MAX_LENGTH - 1)}…`).toWellFormed();
}

/** Both together, the first before the second. */
export function joined(first: Batch | undefined, second: Batch): Batch {
  if (!first) return { ...second, paths: second.paths.slice(0, PATHS_MAX) };
  return {
    count: first.count + second.count,
    paths: [...first.paths, ...second.paths].slice(0, PATHS_MAX),
    bytes: first.bytes + second.bytes,
  };
}

/** The line in the server's console: `alice uploaded 3 files (12 MB) by SFTP: /plugins/a.jar, …`. */
export function describeBatch(username: string, kind: ChangeKind, { count, paths, bytes }: Batch): string {
  const things = count === 1 ? 'file or directory' : 'files and directories';
  const files = `${count} ${count === 1 ? 'file' : 'files'} (${shownSize(bytes)})`;
  const what = {
    upload: `uploaded ${files}`,
    'unconfirmed-upload': `may have uploaded ${files}`,
    create: `made ${count} ${count === 1 ? 'directory or link' : 'directories and links'}`,
    delete: `deleted ${count} ${things}`,
    rename: `renamed ${count} ${things}`,
  }[kind];
  const shown = paths.slice(0, PATHS_IN_NOTE_MAX);
  const list = [...shown, ...(count > shown.length ? ['…'] : [])].join(', ');
  const line = `${shownPath(username)} ${what} by SFTP: ${list}`;
  return line.length <= NOTE_MAX_LENGTH ? line : `${line.slice(0, NOTE_MAX_LENGTH - 1).toWellFormed()}…`;
}

function shownSize(bytes: number): string {
  if (bytes < UNIT) return `${bytes} bytes`;
  let size = bytes;
  let unit = 'bytes';
  for (const larger of UNITS) {
    if (size < UNIT) break;
    size /= UNIT;
    unit = larger;
  }
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${unit}`;
}
