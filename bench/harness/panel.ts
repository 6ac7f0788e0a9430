import { once } from 'node:events';
import { mkdtempSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { type Api, createApi } from './api.js';
import type { BenchDatabase } from './database.js';
import { startProcess, waitUntil } from './process.js';

const READY_TIMEOUT_MS = 60_000;
const ADMIN = { email: 'admin@bench.local', password: 'a password for the bench' };

export interface Panel {
  pid: number;
  url: string;
  dataDir: string;
  socketUrl: string;
  /** Signed in as the administrator. */
  api: Api;
  /** What to sign in with. */
  administrator: { email: string; password: string };
  database: BenchDatabase;
  stop(): Promise<void>;
}

export interface PanelOptions {
  database: BenchDatabase;
  directory: string;
  environment?: NodeJS.ProcessEnv;
}

/** The built panel as an operator runs it: a process of its own, `NODE_ENV=production`, no local agent. */
export async function startPanel({ database, directory, environment }: PanelOptions): Promise<Panel> {
  const port = await freePort();
  const dataDir = mkdtempSync(path.join(directory, 'panel-'));
  const url = `http://127.0.0.1:${port}`;
  const started = startProcess({
    words: [process.execPath, path.resolve('dist/main.js')],
    directory: process.cwd(),
    logFile: path.join(dataDir, 'panel.log'),
    environment: {
      NODE_ENV: 'production',
      HOST: '127.0.0.1',
      PORT: String(port),
      SFTP_PORT: '0',
      DATA_DIR: dataDir,
      DATABASE_URL: database.url,
      ADMIN_EMAIL: ADMIN.email,
      ADMIN_PASSWORD: ADMIN.password,
      LOCAL_AGENT: 'false',
      LOG_LEVEL: 'warn',
      // Everybody here comes from one address.
      AUTH_RATE_LIMIT_PER_MINUTE: '0',
      ...environment,
    },
  });
  try {
    await waitUntil('the panel is ready', READY_TIMEOUT_MS, async () => {
      if (started.hasEnded()) throw new Error('The panel has ended.');
      return await isReady(url);
    });
    const api = createApi(url);
    await api.login(ADMIN);
    return {
      pid: started.pid,
      url,
      dataDir,
      socketUrl: `ws://127.0.0.1:${port}/ws`,
      api,
      administrator: ADMIN,
      database,
      stop: started.stop,
    };
  } catch (error) {
    await started.stop();
    throw new Error(`The panel did not start:\n${started.outputTail()}`, { cause: error });
  }
}

export async function isReady(url: string): Promise<boolean> {
  try {
    const response = await fetch(`${url}/ready`);
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('There is no free port.');
  return address.port;
}
