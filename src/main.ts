import { setFlagsFromString } from 'node:v8';
import closeWithGrace from 'close-with-grace';
import type { Logger } from 'pino';
import { type Config, ConfigError, loadConfig } from './config.js';
import { createLog } from './http/log.js';
import { createReleasers } from './lib/releasers.js';
import { greeting, startPanel } from './panel.js';

/** For everything that is closed at the end; then the process ends anyhow. */
const SHUTDOWN_TIMEOUT_MS = 45_000;

// Prisma compiles queries in WebAssembly. V8's optimising compiler spends 50 MB on that code for no gain that can
// be measured: compiled plans are cached.
setFlagsFromString('--liftoff-only');
// V8 counts the bytes of files that pass through as if they stayed. Left alone it looks through the whole heap for garbage ten
// times a second while somebody fetches a file, which takes more of the processor than all the rest.
setFlagsFromString('--heap-growing-percent=150');

const config = readConfig();
await run(config, createLog({ level: config.LOG_LEVEL }));

function readConfig(): Config {
  try {
    return loadConfig(process.env);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    process.exit(1);
  }
}

async function run(config: Config, log: Logger): Promise<void> {
  const releasers = createReleasers(log);
  const stopping = new AbortController();
  const starting = startPanel({ config, log, releasers, signal: stopping.signal });

  // A second signal ends the process at once.
  const logger = { error: (problem: unknown) => log.error({ err: problem }, 'while stopping') };
  closeWithGrace({ delay: SHUTDOWN_TIMEOUT_MS, logger }, async ({ err, signal }) => {
    if (err) log.fatal({ err }, 'stopping because of an error that nobody caught');
    else log.info({ signal }, 'stopping');
    stopping.abort(new Error('The panel is being stopped.'));
    // Only a start that has come to its end has opened all that is to be closed.
    await starting.catch(() => {});
    await releasers.releaseAll();
    log.info('stopped');
  });

  try {
    console.log(greeting(config, await starting));
  } catch (error) {
    if (stopping.signal.aborted) return;
    log.fatal({ err: error }, 'the panel could not start');
    await releasers.releaseAll();
    console.error(`Catalyst could not start. ${error instanceof Error ? error.message : error}`);
    process.exit(1);
  }
}
