import { text } from 'node:stream/consumers';
import { Worker } from 'node:worker_threads';
import { applyConfigFiles, ConfigJob } from './apply.js';
// Loaded while the program can still be read: later this process is somebody else.
import './yaml.js';

/** The agent ends it earlier, unless it has ended itself meanwhile. */
const LIFETIME_MAX_MS = 30_000;

/**
 * The process that changes the files of one server: what it is to do comes on standard input, the problems go to
 * standard output as JSON. It reads what games have written, so it gives up the agent's rights before, and may
 * take its time or fall over without the agent.
 */
export async function runConfigure(): Promise<void> {
  endInTime();
  const job = ConfigJob.parse(JSON.parse(await text(process.stdin)));
  if (job.owner !== null) becomeUser(job.owner);
  const problems = await applyConfigFiles(job);
  process.stdout.write(JSON.stringify(problems));
}

/** From a thread of its own, because an expression that never comes to an end keeps this one from everything. */
function endInTime() {
  const watch = `setTimeout(() => process.kill(process.pid, 'SIGKILL'), ${LIFETIME_MAX_MS})`;
  new Worker(watch, { eval: true }).unref();
}

function becomeUser({ uid, gid }: NonNullable<ConfigJob['owner']>) {
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
