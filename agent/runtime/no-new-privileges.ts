import { spawnSync } from 'node:child_process';

const TRIAL_MAX_MS = 2000;

/**
 * The words to put before a command so that neither it nor anything it starts can gain rights by a set-uid
 * program; none where the system has no such tool.
 */
export function noNewPrivilegesCommand(): string[] {
  const words = ['setpriv', '--no-new-privs', '--'];
  const [file = '', ...rest] = words;
  const { status } = spawnSync(file, [...rest, 'true'], { stdio: 'ignore', timeout: TRIAL_MAX_MS });
  return status === 0 ? words : [];
}
