import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { AppError } from '../../lib/errors.js';
import { hasCode } from '../../lib/read-or-create.js';

export interface AgentBundle {
  bytes: Buffer;
  sha256: string;
}

/** The agent as one file, read anew for each download: they are rare, and a new build counts at once. */
export async function readAgentBundle(file: string): Promise<AgentBundle> {
  try {
    const bytes = await readFile(file);
    return { bytes, sha256: createHash('sha256').update(bytes).digest('hex') };
  } catch (error) {
    throw hasCode(error, 'ENOENT') ? new AppError('agent.not_built', undefined, { cause: error }) : error;
  }
}
