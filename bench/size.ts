import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Bench } from './harness/bench.js';
import { residentMb } from './harness/memory.js';
import { freePort, isReady, startPanel } from './harness/panel.js';
import { startProcess, waitUntil } from './harness/process.js';
import { startRealAgent } from './harness/real-agent.js';
import { type Finding, megabytes } from './harness/report.js';
import { createNode } from './harness/seed.js';

const IDLE_MS = 20_000;
const INSTALL_TIMEOUT_MS = 300_000;
const START_TIMEOUT_MS = 60_000;
const PANEL_TARGET_MB = 180;
const AGENT_TARGET_MB = 90;
const PACKAGES_TARGET_MB = 350;
const START_TARGET_SECONDS = 15;
/** What a fresh clone does not have. */
const NOT_CLONED = new Set(['node_modules', 'dist', 'data', '.git', '.env', 'generated', 'coverage']);

/** What an installation costs before anybody uses it: memory, disk, and the wait for the first start. */
export async function size(bench: Bench): Promise<Finding[]> {
  return [...(await idleMemory(bench)), ...(await installation(bench))];
}

async function idleMemory(bench: Bench): Promise<Finding[]> {
  const database = await bench.databases.createDatabase();
  bench.defer(() => database.drop());
  const panel = await startPanel({ database, directory: bench.directory });
  bench.defer(() => panel.stop());
  const node = await createNode(panel.api, 'bench');
  const agent = await startRealAgent(panel, node, bench.directory);
  bench.defer(() => agent.stop());
  await delay(IDLE_MS);
  const panelMb = residentMb(panel.pid);
  const agentMb = residentMb(agent.pid);
  return [
    {
      measure: 'memory of the idle panel with one agent',
      target: `≤ ${PANEL_TARGET_MB} MB`,
      measured: megabytes(panelMb),
      isMet: panelMb <= PANEL_TARGET_MB,
    },
    {
      measure: 'memory of the idle agent',
      target: `≤ ${AGENT_TARGET_MB} MB`,
      measured: megabytes(agentMb),
      isMet: agentMb <= AGENT_TARGET_MB,
    },
  ];
}

async function installation(bench: Bench): Promise<Finding[]> {
  const directory = path.join(bench.directory, 'clone');
  mkdirSync(directory);
  cpSync(process.cwd(), directory, {
    recursive: true,
    filter: (source) => !NOT_CLONED.has(path.basename(source)),
  });
  install(directory, []);
  const startSeconds = await coldStart(directory);
  install(directory, ['--omit=dev']);
  const packagesMb = diskUsageMb(path.join(directory, 'node_modules'));
  return [
    {
      measure: 'first start in a fresh clone after `npm ci`: build, database, migrations, until /ready',
      target: `< ${START_TARGET_SECONDS} s`,
      measured: `${startSeconds.toFixed(1)} s`,
      isMet: startSeconds < START_TARGET_SECONDS,
    },
    {
      measure: '`node_modules` of production',
      target: `≤ ${PACKAGES_TARGET_MB} MB`,
      measured: megabytes(packagesMb),
      isMet: packagesMb <= PACKAGES_TARGET_MB,
    },
  ];
}

function install(directory: string, options: string[]): void {
  execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--loglevel=error', ...options], {
    cwd: directory,
    stdio: ['ignore', 'ignore', 'inherit'],
    timeout: INSTALL_TIMEOUT_MS,
  });
}

/** Runs what `npm start` runs. */
async function coldStart(directory: string): Promise<number> {
  const port = await freePort();
  const startedAt = performance.now();
  const started = startProcess({
    words: [process.execPath, 'scripts/start.mjs'],
    directory,
    logFile: path.join(directory, 'start.log'),
    environment: {
      NODE_ENV: 'production',
      PORT: String(port),
      SFTP_PORT: '0',
      DATA_DIR: path.join(directory, 'data'),
      DATABASE_URL: '',
      LOG_LEVEL: 'warn',
    },
  });
  try {
    await waitUntil('the panel is ready', START_TIMEOUT_MS, async () => {
      if (started.hasEnded()) throw new Error(`The panel has ended:\n${started.outputTail()}`);
      return await isReady(`http://127.0.0.1:${port}`);
    });
    return (performance.now() - startedAt) / 1000;
  } finally {
    await started.stop();
  }
}

function diskUsageMb(directory: string): number {
  const output = execFileSync('du', ['-s', '--block-size=1M', directory], { encoding: 'utf8' });
  return Number(output.split('\t')[0]);
}
