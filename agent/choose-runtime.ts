import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Logger } from 'pino';
import { z } from 'zod';
import { RuntimeKind } from '../src/protocol/agent-messages.js';
import { isErrorCode, readFileIfExists, writeFileAtomically } from './atomic-file.js';

export interface RuntimeChoice {
  setting: 'auto' | 'docker' | 'process';
  dataDir: string;
  dockerSocket: string;
  log: Logger;
}

const RecordedChoice = z.object({ kind: RuntimeKind });
const DOCKER_RETRY_MS = 5000;

/**
 * Which runtime to use. `auto` takes Docker when it answers, but where there are servers already it stays
 * with what they were made with: a Docker that is late after a reboot must not have them run without it.
 */
export async function chooseRuntime({
  setting,
  dataDir,
  dockerSocket,
  log,
}: RuntimeChoice): Promise<RuntimeKind> {
  const path = join(dataDir, 'runtime.json');
  const recorded = setting === 'auto' && hasServers(dataDir) ? readRecorded(path) : null;
  const kind = await choose(setting === 'auto' ? recorded : setting, dockerSocket, log);
  // Only what is new, so that an agent can start on a full disk.
  const content = JSON.stringify({ kind });
  if (readFileIfExists(path) !== content) writeFileAtomically(path, content);
  return kind;
}

/** @param settled Null: whichever there is. */
async function choose(settled: RuntimeKind | null, dockerSocket: string, log: Logger): Promise<RuntimeKind> {
  if (settled === 'process') return settled;
  // Loaded only where it may be used: it is most of the program.
  const { dockerAnswers } = await import('./runtime/docker.js');
  if (settled === null) return (await dockerAnswers(dockerSocket)) ? 'docker' : 'process';
  while (!(await dockerAnswers(dockerSocket))) {
    log.error(
      { dockerSocket },
      'Docker does not answer; waiting for it. To run servers without it set RUNTIME=process',
    );
    await sleep(DOCKER_RETRY_MS);
  }
  return settled;
}

function hasServers(dataDir: string): boolean {
  try {
    return readdirSync(join(dataDir, 'state')).length > 0;
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return false;
    throw error;
  }
}

function readRecorded(path: string): RuntimeKind | null {
  const content = readFileIfExists(path);
  return content === null ? null : RecordedChoice.parse(JSON.parse(content)).kind;
}
