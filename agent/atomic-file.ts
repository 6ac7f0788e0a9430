import { closeSync, fsyncSync, openSync, readFileSync, renameSync, rmSync, writeSync } from 'node:fs';

/**
 * Replace a file in one step, readable by its owner only. After a crash, of the process or the machine,
 * the old content is there or the new one, never a part of it.
 */
export function writeFileAtomically(path: string, content: string): void {
  // Always the same name: what an agent left that was killed here is written over.
  const temporaryPath = `${path}.tmp`;
  try {
    const descriptor = openSync(temporaryPath, 'w', 0o600);
    try {
      writeSync(descriptor, content);
      // Without it some file systems leave an empty file where the power fails after the rename.
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporaryPath, path);
  } catch (error) {
    rmSync(temporaryPath, { force: true });
    throw error;
  }
}

/** The file's text; null when there is no such file. */
export function readFileIfExists(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return null;
    throw error;
  }
}

export function isErrorCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
