import type { Logger } from 'pino';
import { InstallError, type InstallListener, type ServerExit, type ServerPlan } from '../runtime.js';
import { callEngine } from './call.js';
import type { ContainerStore } from './containers.js';
import { type ContainerSetting, installContainer } from './create.js';
import { engineMessage, isUnavailable } from './errors.js';
import { followOutput } from './output.js';
import { waitForExit } from './server.js';

/**
 * Run the template's install script in a container of its own, to its end, and remove that container whatever
 * happens. Rejects with an InstallError when the script fails, with the signal's reason when it was aborted.
 */
export async function runInstallScript(options: {
  containers: ContainerStore;
  plan: ServerPlan;
  script: string;
  setting: ContainerSetting;
  listener: InstallListener;
  signal: AbortSignal;
  log: Logger;
}): Promise<void> {
  const { containers, plan, script, setting, listener, signal, log } = options;
  const container = await containers.create(installContainer(plan, setting, script));
  try {
    signal.throwIfAborted();
    await callEngine(container, (abortSignal) => container.start({ abortSignal })).catch((error: unknown) => {
      if (isUnavailable(error)) throw error;
      throw new InstallError(`the install script did not start: ${engineMessage(error)}`, null, {
        cause: error,
      });
    });
    const output = followOutput({ container, cursor: null, listener, log });
    const exit = await waitForExit(container, signal, log).finally(() => signal.aborted && output.stop());
    signal.throwIfAborted();
    await output.finish();
    if (exit === null || exit.exitCode === 0) return;
    throw new InstallError(`the install script ${describeFailure(exit)}`, exit.exitCode);
  } finally {
    await containers.remove(container.id);
  }
}

function describeFailure({ exitCode, oomKilled }: ServerExit): string {
  if (oomKilled) return 'ran out of memory';
  return exitCode === null ? 'was removed while it ran' : `failed with code ${exitCode}`;
}
