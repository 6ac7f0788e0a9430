import { randomBytes } from 'node:crypto';
import { closeSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { hasCode } from './system-errors.js';

/**
 * The text of a file that is made, with mode 0600, by the first call. Of several processes that call at
 * once one makes it, and all get the same, whole text; a crash leaves either no file or the whole one.
 */
export function readOrCreate(file: string, create: () => string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    if (!hasCode(error, 'ENOENT')) throw error;
  }
  const temporary = `${file}.${randomBytes(6).toString('hex')}`;
  try {
    writeDurably(temporary, create());
    // link, unlike rename, never replaces what another process has made in the meantime.
    linkSync(temporary, file);
  } catch (error) {
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(temporary, { force: true });
  }
  return readFileSync(file, 'utf8');
}

function writeDurably(file: string, text: string): void {
  const descriptor = openSync(file, 'wx', 0o600);
  try {
    writeSync(descriptor, text);
    fsyncSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
