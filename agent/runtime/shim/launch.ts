import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { z } from 'zod';
import { readFileIfExists } from '../../atomic-file.js';
import type { ShimLaunch, ShimLaunched, ShimRecord } from './protocol.js';

const LAUNCH_TIMEOUT_MS = 20_000;

const RecordContent = z.object({
  pid: z.number().int().positive(),
  startTime: z.number().nullable(),
  gamePid: z.number().int().positive(),
  gameStartTime: z.number().nullable(),
  startedAt: z.iso.datetime(),
  runId: z.string(),
  cgroupDirectories: z.array(z.string()),
});

export interface ShimStart {
  shimCommand: string[];
  /** Exists, empty, and belongs to nobody but the agent. */
  directory: string;
  launch: ShimLaunch;
}

/** Start a shim and its game. Rejects with the system's reason when the game cannot be started. */
export async function launchShim({ shimCommand, directory, launch }: ShimStart): Promise<ShimRecord> {
  const [file = process.execPath, ...words] = shimCommand;
  const logDescriptor = openSync(join(directory, 'shim.log'), 'a', 0o600);
  const shim = spawn(file, [...words, directory], {
    detached: true,
    cwd: directory,
    // Not the agent's own environment: what a process was started with can be read for as long as it lives.
    env: { PATH: process.env.PATH ?? '', TZ: process.env.TZ ?? 'UTC' },
    stdio: ['pipe', 'pipe', logDescriptor],
  });
  closeSync(logDescriptor);
  shim.unref();
  const timer = setTimeout(() => shim.kill('SIGKILL'), LAUNCH_TIMEOUT_MS);
  const failed = new Promise<never>((_, reject) => shim.once('error', reject));
  try {
    const { stdin, stdout } = shim;
    // Node leaves them out when this process has no descriptor left; the error says so.
    if (!stdin || !stdout) return await failed;
    stdin.on('error', () => {});
    stdin.end(JSON.stringify(launch));
    const answer = await Promise.race([text(stdout), failed]);
    const launched = JSON.parse(
      answer || '{"ok":false,"message":"its supervisor did not answer"}',
    ) as ShimLaunched;
    if (!launched.ok) throw new Error(`The server could not be started: ${launched.message}.`);
  } finally {
    clearTimeout(timer);
  }
  const record = readShimRecord(directory);
  if (record === null) throw new Error('The server could not be started: its supervisor left no record.');
  return record;
}

/** Null when there is none or it cannot be understood. */
export function readShimRecord(directory: string): ShimRecord | null {
  const content = readFileIfExists(join(directory, 'shim.json'));
  if (content === null) return null;
  try {
    return RecordContent.parse(JSON.parse(content));
  } catch {
    return null;
  }
}
