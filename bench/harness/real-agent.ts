import { chmodSync, mkdtempSync } from 'node:fs';
import path from 'node:path';
import type { Panel } from './panel.js';
import { startProcess, waitUntil } from './process.js';
import type { SeededNode } from './seed.js';

const ONLINE_TIMEOUT_MS = 20_000;
const STATUS_TIMEOUT_MS = 30_000;

export interface RealAgent {
  pid: number;
  stop(): Promise<void>;
}

/** The built agent as an operator runs it, with the process runtime. Settles when its node is online. */
export async function startRealAgent(panel: Panel, node: SeededNode, directory: string): Promise<RealAgent> {
  const dataDir = mkdtempSync(path.join(directory, 'agent-'));
  chmodSync(dataDir, 0o755);
  const started = startProcess({
    words: [process.execPath, path.resolve('dist/catalyst-agent.mjs')],
    directory: process.cwd(),
    logFile: path.join(dataDir, 'agent.log'),
    environment: {
      NODE_ENV: 'production',
      PANEL_URL: panel.url,
      NODE_ID: node.id,
      NODE_TOKEN: node.secret,
      AGENT_DATA_DIR: dataDir,
      RUNTIME: 'process',
      LOG_LEVEL: 'warn',
    },
  });
  try {
    await waitUntil('the agent is connected', ONLINE_TIMEOUT_MS, async () => {
      if (started.hasEnded()) throw new Error('The agent has ended.');
      const { data } = await panel.api.send<{ data: { isOnline: boolean } }>('GET', `/api/nodes/${node.id}`);
      return data.isOnline;
    });
  } catch (error) {
    await started.stop();
    throw new Error(`The agent did not connect:\n${started.outputTail()}`, { cause: error });
  }
  return { pid: started.pid, stop: started.stop };
}

/** Installs and starts a server; settles when it runs. */
export async function runServer(panel: Panel, serverId: string): Promise<void> {
  await installServer(panel, serverId);
  await panel.api.send('POST', `/api/servers/${serverId}/start`);
  await waitForStatus(panel, serverId, 'running');
}

export async function installServer(panel: Panel, serverId: string): Promise<void> {
  await panel.api.send('POST', `/api/servers/${serverId}/install`);
  await waitForStatus(panel, serverId, 'stopped');
}

export async function killServer(panel: Panel, serverId: string): Promise<void> {
  await panel.api.send('POST', `/api/servers/${serverId}/kill`);
  await waitForStatus(panel, serverId, 'stopped');
}

export async function waitForStatus(panel: Panel, serverId: string, wanted: string): Promise<void> {
  const what = `the server is ${wanted}`;
  await waitUntil(what, STATUS_TIMEOUT_MS, async () => {
    const { data } = await panel.api.send<{ data: { status: string } }>('GET', `/api/servers/${serverId}`);
    return data.status === wanted;
  });
}
