import { setFlagsFromString } from 'node:v8';
import { startAgent } from './agent.js';
import { loadAgentConfig } from './config.js';
import { createLog } from './log.js';

/** What a shim's JavaScript may take; its output ring lies outside of this. */
const SHIM_HEAP_MB = 64;
/** What reading a server's configuration files may take, for as long as it takes. */
const CONFIGURE_HEAP_MB = 512;

/** Run the agent until a signal ends it. A second signal ends it at once. */
export async function runAgent(): Promise<void> {
  try {
    // V8 counts the bytes of files that pass through as if they stayed, and would look for garbage all the time.
    setFlagsFromString('--heap-growing-percent=150');
    const config = loadAgentConfig(process.env);
    const log = createLog(config.logLevel);
    const program = process.argv[1] ?? '';
    // A small young generation: output only passes through a shim.
    const flags = [`--max-old-space-size=${SHIM_HEAP_MB}`, '--max-semi-space-size=1'];
    const shimCommand = [process.execPath, ...flags, program, 'shim'];
    const configureCommand = [
      process.execPath,
      `--max-old-space-size=${CONFIGURE_HEAP_MB}`,
      program,
      'configure',
    ];
    const agent = await startAgent({ config, shimCommand, configureCommand, log });
    let isStopping = false;
    const stop = (signal: NodeJS.Signals) => {
      if (isStopping) process.exit(1);
      isStopping = true;
      log.info({ signal }, 'stopping; game servers run on');
      agent.stop().then(
        () => process.exit(0),
        (error: unknown) => {
          log.error({ error }, 'the agent did not stop cleanly');
          process.exit(1);
        },
      );
    };
    process.on('SIGTERM', stop);
    process.on('SIGINT', stop);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exit(1);
  }
}
