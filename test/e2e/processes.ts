import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { freePort } from '../helpers/free-port.js';

const ROOT = path.resolve(import.meta.dirname, '../..');
const READY_TIMEOUT_MS = 30_000;
const OUTPUT_MAX_CHARACTERS = 200_000;

/** A real process of ours and what it printed. */
export interface OurProcess {
  readonly child: ChildProcess;
  output(): string;
  /** Sends the signal and waits for the end; the exit code, null after a signal. */
  end(signal: NodeJS.Signals): Promise<number | null>;
}

export interface PanelProcess extends OurProcess {
  readonly url: string;
  readonly port: number;
}

/** `node dist/main.js`, until `/ready` answers. Give the same port and directory to start it again. */
export async function startPanelProcess(options: {
  dataDir: string;
  databaseUrl: string;
  port?: number;
  environment?: Record<string, string>;
}): Promise<PanelProcess> {
  const port = options.port ?? (await freePort());
  const panel = startProcess('dist/main.js', {
    PORT: String(port),
    DATA_DIR: options.dataDir,
    DATABASE_URL: options.databaseUrl,
    LOCAL_AGENT: 'false',
    SFTP_PORT: '0',
    ADMIN_EMAIL: ADMINISTRATOR.email,
    ADMIN_PASSWORD: ADMINISTRATOR.password,
    ...options.environment,
  });
  const url = `http://127.0.0.1:${port}`;
  await until(`the panel is ready\n${panel.output()}`, async () => {
    if (panel.child.exitCode !== null) throw new Error(`The panel ended:\n${panel.output()}`);
    return (await fetch(`${url}/ready`)).ok;
  });
  return { ...panel, url, port };
}

export const ADMINISTRATOR = { email: 'admin@example.com', password: 'correct horse battery' };

/** The agent as `npm run agent` runs it. */
export function startAgentProcess(options: {
  panelUrl: string;
  nodeId: string;
  token: string;
  dataDir: string;
  runtime: 'docker' | 'process';
}): OurProcess {
  return startProcess('dist/catalyst-agent.mjs', {
    PANEL_URL: options.panelUrl,
    NODE_ID: options.nodeId,
    NODE_TOKEN: options.token,
    AGENT_DATA_DIR: options.dataDir,
    RUNTIME: options.runtime,
  });
}

function startProcess(script: string, environment: Record<string, string>): OurProcess {
  const child = spawn(process.execPath, [script], {
    cwd: ROOT,
    env: { PATH: process.env.PATH, HOME: process.env.HOME, LOG_LEVEL: 'info', ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let text = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (data: string) => {
      text = (text + data).slice(-OUTPUT_MAX_CHARACTERS);
    });
  }
  return {
    child,
    output: () => text,
    async end(signal) {
      if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
      const exited = once(child, 'exit');
      child.kill(signal);
      await exited;
      return child.exitCode;
    },
  };
}

/** A directory that any user may enter, as servers run under a user of their own. */
export function temporaryDirectory(): { path: string; remove(): void } {
  const directory = mkdtempSync(path.join(tmpdir(), 'catalyst-e2e-'));
  return {
    path: directory,
    remove: () => rmSync(directory, { recursive: true, force: true, maxRetries: 5 }),
  };
}

/** Tries until the condition holds; an error counts as "not yet" and is shown when time runs out. */
export async function until(
  what: string,
  condition: () => Promise<boolean> | boolean,
  timeoutMs = READY_TIMEOUT_MS,
): Promise<void> {
  const deadline = Date.now() + timeoutMs;
  let last: unknown;
  while (Date.now() < deadline) {
    try {
      if (await condition()) return;
      last = undefined;
    } catch (error) {
      last = error;
    }
    await delay(50);
  }
  throw new Error(`Waited ${timeoutMs} ms in vain until ${what}`, { cause: last });
}
