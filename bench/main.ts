import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pino } from 'pino';
import { createReleasers, type Releasers } from '../src/lib/releasers.js';
import { accounts } from './accounts.js';
import { archives } from './archives.js';
import { fanOut } from './fan-out.js';
import { files } from './files.js';
import { filesControl } from './files-control.js';
import { firstWord } from './first-word.js';
import { flood } from './flood.js';
import { createBareArgon2Role } from './harness/bare-argon2.js';
import { createBareFilesRole } from './harness/bare-files.js';
import { createBareRestRole } from './harness/bare-rest.js';
import type { Bench, Question } from './harness/bench.js';
import { createBroadcasterRole } from './harness/broadcaster.js';
import { startDatabaseServer } from './harness/database.js';
import { describeMachine } from './harness/machine.js';
import { type Finding, markdownTable, printFinding } from './harness/report.js';
import { createRequestsRole } from './harness/requests.js';
import { createRightsRole } from './harness/rights.js';
import { currentRole, serveRole } from './harness/role.js';
import { createSimulatedAgentRole } from './harness/simulated-agent.js';
import { createSwarmRole } from './harness/swarm.js';
import { ingest } from './ingest.js';
import { latency } from './latency.js';
import { rest } from './rest.js';
import { sftp } from './sftp.js';
import { size } from './size.js';

const QUESTIONS = new Map<string, Question>([
  ['fan-out', fanOut],
  ['latency', latency],
  ['first-word', firstWord],
  ['flood', flood],
  ['ingest', ingest],
  ['rest', rest],
  ['accounts', accounts],
  ['sftp', sftp],
  ['files', files],
  ['files-control', filesControl],
  ['archives', archives],
  ['size', size],
]);

/** What a child process of this program can be started as. */
const ROLES = new Map([
  ['bare-argon2', () => serveRole(createBareArgon2Role())],
  ['bare-files', () => serveRole(createBareFilesRole())],
  ['bare-rest', () => serveRole(createBareRestRole())],
  ['broadcaster', () => serveRole(createBroadcasterRole())],
  ['requests', () => serveRole(createRequestsRole())],
  ['rights', () => serveRole(createRightsRole())],
  ['simulated-agent', () => serveRole(createSimulatedAgentRole())],
  ['swarm', () => serveRole(createSwarmRole())],
]);

const INTERRUPTED_EXIT_CODE = 130;

/** Aborted by Ctrl-C: then whatever is open is closed once, by who heard of it first. */
const interruption = new AbortController();

async function runQuestions(names: string[]): Promise<boolean> {
  const releasers = createReleasers(pino({ level: 'warn' }));
  process.once('SIGINT', () => {
    interruption.abort();
    console.error('\nInterrupted, cleaning up …');
    releasers
      .releaseAll()
      .catch((error: unknown) => console.error(error))
      .finally(() => process.exit(INTERRUPTED_EXIT_CODE));
  });
  const directory = mkdtempSync(path.join(tmpdir(), 'catalyst-bench-'));
  releasers.push('directory', () => rmSync(directory, { recursive: true, force: true }));
  // Game servers run under another user and live below.
  chmodSync(directory, 0o755);
  try {
    const databases = await startDatabaseServer(directory);
    releasers.push('database server', () => databases.stop());
    console.log(`${describeMachine(databases.description)}\n`);
    const findings: Finding[] = [];
    for (const name of names) findings.push(...(await ask(name, { databases, directory }, releasers)));
    console.log(`\n${markdownTable(findings)}`);
    return findings.every(({ isMet }) => isMet);
  } finally {
    if (!interruption.signal.aborted) await releasers.releaseAll();
  }
}

/** Everything that a question has opened is closed after it. */
async function ask(
  name: string,
  means: Pick<Bench, 'databases' | 'directory'>,
  outer: Releasers,
): Promise<Finding[]> {
  const question = QUESTIONS.get(name);
  if (!question)
    throw new Error(`There is no question "${name}". There are: ${[...QUESTIONS.keys()].join(', ')}.`);
  const releasers = createReleasers(pino({ level: 'warn' }));
  outer.push(name, () => releasers.releaseAll());
  console.log(name);
  try {
    const findings = await question({
      ...means,
      defer: (close) => releasers.push(`means of ${name}`, close),
      note: (text) => console.log(`       ${text}`),
    });
    for (const finding of findings) printFinding(finding);
    return findings;
  } finally {
    if (!interruption.signal.aborted) await releasers.releaseAll();
  }
}

const role = currentRole();
if (role === undefined) {
  const names = process.argv.slice(2);
  try {
    const isMet = await runQuestions(names.length > 0 ? names : [...QUESTIONS.keys()]);
    process.exitCode = isMet ? 0 : 1;
  } catch (error) {
    // What fails because everything is being closed is no news.
    if (!interruption.signal.aborted) throw error;
  }
} else {
  ROLES.get(role)?.();
}
