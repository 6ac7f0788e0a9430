import { linkSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { isErrorCode, readFileIfExists } from './atomic-file.js';
import { identifyProcess, isProcessAlive } from './process-identity.js';

/** The panel reads it too, to see whether an agent that it started earlier is alive. */
const LockHolder = z.object({ pid: z.number().int().positive(), startTime: z.number().nullable() });

const ATTEMPTS_MAX = 5;

/**
 * See to it that one agent at a time uses the directory.
 * @returns The function that lets go of it.
 * @throws Error that names the process which has it.
 */
export function lockDirectory(directory: string): () => void {
  const path = join(directory, 'agent.lock');
  const content = JSON.stringify(identifyProcess(process.pid));
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (create(path, content)) return () => release(path, content);
    const found = readFileIfExists(path);
    if (found === null) continue;
    const holder = parseHolder(found);
    if (holder !== null && isProcessAlive(holder)) {
      throw new Error(
        `Another agent (process ${holder.pid}) uses ${directory}. Stop it, or give this one an AGENT_DATA_DIR of its own.`,
      );
    }
    discard(path, found);
  }
  throw new Error(`The lock ${path} changes too often; is another agent starting and stopping all the time?`);
}

/** A link appears complete or not at all, and never in the place of another. */
function create(path: string, content: string): boolean {
  const temporaryPath = `${path}.${process.pid}`;
  try {
    writeFileSync(temporaryPath, content, { mode: 0o644 });
    linkSync(temporaryPath, path);
    return true;
  } catch (error) {
    if (isErrorCode(error, 'EEXIST')) return false;
    const reason = error instanceof Error ? error.message : String(error);
    throw new Error(
      `The lock ${path} cannot be written (${reason}). See to it that the disk has room and can be written to.`,
      { cause: error },
    );
  } finally {
    rmSync(temporaryPath, { force: true });
  }
}

/** Remove a dead agent's lock, but not the one that another living agent has put there since. */
function discard(path: string, found: string) {
  const asidePath = `${path}.${process.pid}.stale`;
  try {
    renameSync(path, asidePath);
    if (readFileIfExists(asidePath) !== found) linkSync(asidePath, path);
  } catch (error) {
    if (!isErrorCode(error, 'ENOENT') && !isErrorCode(error, 'EEXIST')) throw error;
  } finally {
    rmSync(asidePath, { force: true });
  }
}

function release(path: string, content: string) {
  if (readFileIfExists(path) === content) rmSync(path, { force: true });
}

function parseHolder(content: string): z.infer<typeof LockHolder> | null {
  try {
    return LockHolder.parse(JSON.parse(content));
  } catch {
    return null;
  }
}
