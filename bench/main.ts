import { mkdtempSync, rmSync } from 'node:fs';
import { chmod } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fanOut } from './fan-out.js';
import { firstWord } from './first-word.js';
import { flood } from './flood.js';
import { createBareRestRole } from './harness/bare-rest.js';
import type { Bench, Question } from './harness/bench.js';
import { createBroadcasterRole } from './harness/broadcaster.js';
import { startDatabaseServer } from './harness/database.js';
import { describeMachine } from './harness/machine.js';
import { type Finding, markdownTable, printFinding } from './harness/report.js';
import { createRequestsRole } from './harness/requests.js';
import { currentRole, serveRole } from './harness/role.js';
import { createSimulatedAgentRole } from './harness/simulated-agent.js';
import { createSwarmRole } from './harness/swarm.js';
import { ingest } from './ingest.js';
import { latency } from './latency.js';
import { rest } from './rest.js';
import { size } from './size.js';

const QUESTIONS = new Map<string, Question>([
  ['fan-out', fanOut],
  ['latency', latency],
  ['first-word', firstWord],
  ['flood', flood],
  ['ingest', ingest],
  ['rest', rest],
  ['size', size],
]);

/** What a child process of this program can be started as. */
const ROLES = new Map([
  ['bare-rest', () => serveRole(createBareRestRole())],
  ['broadcaster', () => serveRole(createBroadcasterRole())],
  ['requests', () => serveRole(createRequestsRole())],
  ['simulated-agent', () => serveRole(createSimulatedAgentRole())],
  ['swarm', () => serveRole(createSwarmRole())],
]);

async function runQuestions(names: string[]): Promise<boolean> {
  const directory = mkdtempSync(path.join(tmpdir(), 'catalyst-bench-'));
  // Game servers run under another user and live below.
  await chmod(directory, 0o755);
  const databases = await startDatabaseServer(directory);
  console.log(`${describeMachine(databases.description)}\n`);
  const findings: Finding[] = [];
  try {
    for (const name of names) findings.push(...(await ask(name, { databases, directory })));
  } finally {
    await databases.stop();
    rmSync(directory, { recursive: true, force: true });
  }
  console.log(`\n${markdownTable(findings)}`);
  return findings.every(({ isMet }) => isMet);
}

async function ask(name: string, means: Pick<Bench, 'databases' | 'directory'>): Promise<Finding[]> {
  const question = QUESTIONS.get(name);
  if (!question)
    throw new Error(`There is no question "${name}". There are: ${[...QUESTIONS.keys()].join(', ')}.`);
  const closers: (() => Promise<unknown> | unknown)[] = [];
  console.log(name);
  try {
    const findings = await question({
      ...means,
      defer: (close) => closers.unshift(close),
      note: (text) => console.log(`       ${text}`),
    });
    for (const finding of findings) printFinding(finding);
    return findings;
  } finally {
    for (const close of closers) await close();
  }
}

const role = currentRole();
if (role === undefined) {
  const names = process.argv.slice(2);
  const isMet = await runQuestions(names.length > 0 ? names : [...QUESTIONS.keys()]);
  process.exitCode = isMet ? 0 : 1;
} else {
  ROLES.get(role)?.();
}
