import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '../..');
const START_TIMEOUT_MS = 30_000;

export interface PanelProcess {
  child: ChildProcess;
  url: string;
  /** What it has written so far. */
  output(): string;
  /** Its exit code; null when a signal ended it. */
  exited: Promise<number | null>;
}

/** A program of this project with only the environment it is given. */
export function spawnProgram(file: string, environment: Record<string, string>, nodeOptions: string[] = []) {
  const child = spawn(process.execPath, [...nodeOptions, path.join(ROOT, file)], {
    env: { PATH: process.env.PATH ?? '', HOME: process.env.HOME ?? '', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      output += text;
    });
  }
  const exited = once(child, 'close').then(([code]) => code as number | null);
  return { child, output: () => output, exited };
}

/** A real panel, ready when this resolves. Rejects with its output when it is not. */
export async function startPanelProcess(
  environment: Record<string, string>,
  { file = 'dist/main.js', nodeOptions = [] as string[] } = {},
): Promise<PanelProcess> {
  const program = spawnProgram(
    file,
    { HOST: '127.0.0.1', PORT: '0', SFTP_PORT: '0', ...environment },
    nodeOptions,
  );
  const url = await new Promise<string>((resolve, reject) => {
    const fail = () => reject(new Error(`The panel did not start:\n${program.output()}`));
    const timer = setTimeout(fail, START_TIMEOUT_MS);
    program.child.stdout.on('data', () => {
      const found = /^ {2}Panel +(\S+)$/m.exec(program.output())?.[1];
      if (!found) return;
      clearTimeout(timer);
      resolve(found);
    });
    program.child.once('exit', fail);
  });
  return { ...program, url };
}

/** Process number of the agent that holds a data directory's lock. */
export function localAgentPid(dataDir: string): number | null {
  return numberIn(
    path.join(dataDir, 'agent/agent.lock'),
    (text) => (JSON.parse(text) as { pid: number }).pid,
  );
}

export function postgresPid(dataDir: string): number | null {
  return numberIn(path.join(dataDir, 'postgres/data/postmaster.pid'), (text) => Number(text.split('\n')[0]));
}

export function isAlive(pid: number | null): boolean {
  if (pid === null) return false;
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** What a killed panel has left running. */
export function killLeftovers(dataDir: string): void {
  for (const pid of [localAgentPid(dataDir), postgresPid(dataDir)]) {
    if (pid !== null && isAlive(pid)) process.kill(pid, 'SIGKILL');
  }
}

function numberIn(file: string, parse: (text: string) => number): number | null {
  return existsSync(file) ? parse(readFileSync(file, 'utf8')) : null;
}
