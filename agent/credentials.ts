import { join } from 'node:path';
import type { Logger } from 'pino';
import { z } from 'zod';
import { readFileIfExists, writeFileAtomically } from './atomic-file.js';

/** The node secrets that panels gave in exchange for deployment tokens, by node. */
const StoredCredentials = z.record(z.string(), z.object({ secret: z.string().min(1) }));

export interface Credentials {
  /** What to try, best first: the stored secret, then the token from the environment. */
  candidates(): string[];
  keep(secret: string): void;
  /** The panel took the environment's token and not the stored secret: that one is of the past. */
  forget(): void;
}

export function openCredentials(options: {
  dataDir: string;
  nodeId: string;
  token: string | null;
  log: Logger;
}): Credentials {
  const { nodeId, token, log } = options;
  const path = join(options.dataDir, 'credentials.json');
  const stored = load(path, log);

  function save() {
    writeFileAtomically(path, JSON.stringify(stored));
  }

  return {
    candidates() {
      const secret = stored[nodeId]?.secret ?? null;
      return [...new Set([secret, token])].filter((candidate) => candidate !== null);
    },
    keep(secret) {
      stored[nodeId] = { secret };
      save();
      log.info(
        { nodeId },
        'the secret of this node is stored; the token in the environment is no longer needed',
      );
    },
    forget() {
      if (stored[nodeId] === undefined) return;
      delete stored[nodeId];
      save();
    },
  };
}

function load(path: string, log: Logger): z.infer<typeof StoredCredentials> {
  const content = readFileIfExists(path);
  if (content === null) return {};
  try {
    return StoredCredentials.parse(JSON.parse(content));
  } catch {
    // Not the error: it could quote what it could not parse.
    log.error({ path }, 'the stored credentials cannot be read; trying the token from the environment');
    return {};
  }
}
