import { createHash } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { AppError } from '../../lib/errors.js';
import { hasCode } from '../../lib/system-errors.js';

export interface AgentBundle {
  bytes: Buffer;
  sha256: string;
}

/** The agent as one file, read and hashed once for each build of it. */
export function createAgentBundles(file: string): { read(): Promise<AgentBundle> } {
  let latest: { version: string; bundle: AgentBundle } | null = null;
  return {
    async read() {
      try {
        const { mtimeMs, ino, size } = await stat(file);
        const version = `${mtimeMs} ${ino} ${size}`;
        if (latest?.version !== version) {
          const bytes = await readFile(file);
          const sha256 = createHash('sha256').update(bytes).digest('hex');
          latest = { version, bundle: { bytes, sha256 } };
        }
        return latest.bundle;
      } catch (error) {
        throw hasCode(error, 'ENOENT') ? new AppError('agent.not_built', undefined, { cause: error }) : error;
      }
    },
  };
}
