import { parseArgs } from 'node:util';
import { type Api, createApi } from './demo/api.js';
import { readCredentials } from './demo/credentials.js';
import { DemoFailure } from './demo/failure.js';
import { findGames, type Game, type Node } from './demo/games.js';
import { type Live, openLive } from './demo/live.js';
import { createOutput, type Output, printFailure } from './demo/output.js';
import {
  command,
  createServer,
  type DemoServer,
  findNode,
  install,
  remove,
  signIn,
  start,
  stop,
  watch,
} from './demo/tour.js';

const DEFAULT_URL = 'http://127.0.0.1:3000';
const INTERRUPTED_EXIT_CODE = 130;
const PROGRESS_STEP_PERCENT = 10;
const USAGE = `npm run demo [-- --keep] [-- --template NAME]

Runs a real game server on the panel at PANEL_URL (${DEFAULT_URL}), through its public API only.
Signs in with ADMIN_EMAIL and ADMIN_PASSWORD; without a password it asks.

  --keep            leave the server there at the end
  --template NAME   play this template`;

interface Session {
  api: Api;
  output: Output;
  keep: boolean;
  /** What is to be removed at the end, also after Ctrl-C. */
  server: DemoServer | undefined;
  live: Live | undefined;
  /** A request that makes a server: until it is answered nobody knows what to remove. */
  creating: Promise<unknown> | undefined;
  isInterrupted: boolean;
}

const { values } = parseArgs({
  options: { keep: { type: 'boolean' }, template: { type: 'string' }, help: { type: 'boolean' } },
});
if (values.help) console.log(USAGE);
else await run(values.keep ?? false, values.template);

async function run(keep: boolean, templateName: string | undefined): Promise<void> {
  const url = (process.env.PANEL_URL || DEFAULT_URL).replace(/\/+$/, '');
  const session: Session = {
    api: createApi(url),
    output: createOutput(),
    keep,
    server: undefined,
    live: undefined,
    creating: undefined,
    isInterrupted: false,
  };
  process.once('SIGINT', () => {
    session.isInterrupted = true;
    printFailure('Interrupted.');
    cleanUp(session)
      .catch((error: Error) => printFailure(error.message))
      .finally(() => process.exit(INTERRUPTED_EXIT_CODE));
  });
  try {
    await tour(session, templateName);
    session.output.summary();
  } catch (error) {
    // Whoever interrupted has seen why, and the cleaning up is under way.
    if (session.isInterrupted) return;
    if (!(error instanceof DemoFailure)) throw error;
    printFailure(error.message);
    process.exitCode = 1;
    await cleanUp(session);
  } finally {
    session.live?.close();
  }
}

async function tour(session: Session, templateName: string | undefined): Promise<void> {
  const { api, output, keep } = session;
  await output.step('Sign in', async () => {
    const credentials = await readCredentials();
    await signIn(api, credentials);
    output.say(`${credentials.email} at ${api.url}`);
  });
  const node = await output.step('Choose a node', async () => {
    const chosen = await findNode(api);
    output.say(
      `${chosen.name}, which runs servers with ${chosen.runtime === 'docker' ? 'Docker' : 'plain processes'}`,
    );
    return chosen;
  });
  const { game, server, live } = await installFirstPossible(session, node, templateName);
  await output.step('Start it', () => start(api, server, live));
  await output.step(`Send the command "${game.command}"`, async () => {
    const answer = await command(api, server, game, live);
    output.say(`The server answered: ${answer}`);
  });
  await output.step('Watch it', () => watch(live, output));
  await output.step('Stop it', () => stop(api, server, live, output));
  if (keep) {
    output.say(`The server ${server.name} (${server.id}) stays.`);
    session.server = undefined;
    return;
  }
  await output.step('Delete it', () => removeServer(session));
}

/** An image that cannot be had is no reason to give up while there is another game. */
async function installFirstPossible(session: Session, node: Node, templateName: string | undefined) {
  const { api, output } = session;
  const games = await findGames(api, node, templateName);
  for (const [index, game] of games.entries()) {
    const { server, live } = await output.step(`Create a server: ${game.templateName}`, () =>
      createSubscribed(session, node, game),
    );
    try {
      await output.step('Install it', () => install(api, server, live));
      return { game, server, live };
    } catch (error) {
      if (!(error instanceof DemoFailure) || index === games.length - 1) throw error;
      output.warn(error.message);
      output.warn('Trying the next game.');
      await removeServer(session);
    }
  }
  throw new DemoFailure('There is no game to play.');
}

async function createSubscribed(session: Session, node: Node, game: Game) {
  const { api, output } = session;
  const creating = createServer(api, node, game).then((server) => {
    session.server = server;
    return server;
  });
  session.creating = creating;
  const server = await creating;
  output.say(`${server.name} (${server.id}), port ${server.port}`);
  const live = await openLive({
    url: api.url,
    token: api.token(),
    serverId: server.id,
    listener: {
      onLine: output.consoleLine,
      onProgress: (phase, percent, message) => output.progress(describeProgress(phase, percent, message)),
    },
  });
  session.live = live;
  return { server, live };
}

/** In steps, so that a download does not fill the screen. */
function describeProgress(phase: string, percent: number | null, message: string | undefined): string {
  const done =
    percent === null ? '' : ` ${Math.floor(percent / PROGRESS_STEP_PERCENT) * PROGRESS_STEP_PERCENT} %`;
  return `${phase}${done}${percent === null && message ? `: ${message}` : ''}`;
}

async function removeServer(session: Session): Promise<void> {
  const { server } = session;
  session.live?.close();
  session.live = undefined;
  session.server = undefined;
  if (server) await remove(session.api, server);
}

async function cleanUp(session: Session): Promise<void> {
  await session.creating?.catch(() => {});
  if (!session.server) return;
  const { name, id } = session.server;
  if (session.keep) {
    session.output.say(`The server ${name} (${id}) stays, as asked.`);
    return;
  }
  session.output.say(`Removing ${name} …`);
  await removeServer(session).catch((error: Error) =>
    session.output.warn(`${name} (${id}) could not be removed: ${error.message}`),
  );
}
