import { text } from 'node:stream/consumers';
import { applyConfigFiles, ConfigJob } from './apply.js';
// Loaded while the program can still be read: later this process is somebody else.
import './yaml.js';

/**
 * The process that changes the files of one server: what it is to do comes on standard input, the problems go to
 * standard output as JSON. It reads what games have written, so it gives up the agent's rights before, and may
 * take its time or fall over without the agent.
 */
export async function runConfigure(): Promise<void> {
  const job = ConfigJob.parse(JSON.parse(await text(process.stdin)));
  if (job.owner !== null) becomeUser(job.owner);
  const problems = await applyConfigFiles(job);
  process.stdout.write(JSON.stringify(problems));
}

function becomeUser({ uid, gid }: NonNullable<ConfigJob['owner']>) {
  process.setgroups?.([gid]);
  process.setgid?.(gid);
  process.setuid?.(uid);
}
