import { closeSync, existsSync, renameSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { identifyProcess } from '../process-identity.js';
import { removeCgroup } from './cgroups.js';
import { serveConnection } from './shim/connection.js';
import { type Game, startGame } from './shim/game.js';
import { createOutputRing } from './shim/output-ring.js';
import type { ShimExit, ShimLaunch, ShimLaunched, ShimRecord } from './shim/protocol.js';

/** Output that no agent has taken yet; older output is written over. */
const RING_BYTES = 4 * 1024 * 1024;
/** Whoever started the shim must come to its socket by then, or an installation ends. */
const FIRST_CONNECTION_MAX_MS = 15_000;
/** After the game's end the shim waits so long for an agent to collect what is left. */
const COLLECTION_MAX_MS = 7 * 24 * 3600 * 1000;

/** What has lost its record is found by no agent any more; so often the shim of an ended game looks. */
const FORGOTTEN_POLL_MS = 5000;
const RECORD_NAME = 'shim.json';

/**
 * The process that owns one game's standard streams. It is started by the agent, outlives it, and keeps the
 * output until an agent has taken it, so that the agent can be restarted or replaced under a running game.
 *
 * @param directory The shim's own: socket, record and log. It is only ever removed by the agent.
 */
export async function runShim(directory: string): Promise<void> {
  // A relative socket path fits the system's 107 bytes wherever the data directory is.
  process.chdir(directory);
  // Terminals and service managers signal whole groups; the game ends by the agent's order only.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
  // Cut short when the agent ended while it was writing: then this ends here, with nothing started.
  const launch = JSON.parse(await text(process.stdin)) as ShimLaunch;
  try {
    await holdGame(launch);
    tellAgent({ ok: true });
  } catch (error) {
    await removeCgroup(launch.cgroupDirectories);
    tellAgent({ ok: false, message: error instanceof Error ? error.message : String(error) });
    process.exit(1);
  }
}

function tellAgent(launched: ShimLaunched) {
  try {
    writeFileSync(1, `${JSON.stringify(launched)}\n`);
    closeSync(1);
  } catch {
    // The agent is gone already; a later one finds the record.
  }
}

async function holdGame(launch: ShimLaunch): Promise<void> {
  const ring = createOutputRing(RING_BYTES);
  let exit: ShimExit | null = null;
  let connection: { socket: Socket; pump(): void } | null = null;
  let game: Game | null = null;

  const end = () => {
    void Promise.resolve(game?.signal('SIGKILL'))
      .then(() => removeCgroup(launch.cgroupDirectories))
      .finally(() => process.exit(0));
  };
  const endIfAgentIsGone = () => {
    if (launch.endsWithAgent && connection === null) end();
  };
  const endIfForgotten = () => {
    if (connection === null && !existsSync(RECORD_NAME)) end();
  };
  const server = createServer((socket) => {
    if (game === null) return socket.destroy();
    // The newest agent is the right one: an older connection is what a dead agent left.
    connection?.socket.destroy();
    const served = serveConnection({ socket, ring, game, exit: () => exit, onRelease: end });
    connection = { socket, pump: served.pump };
    socket.on('close', () => {
      if (connection?.socket !== socket) return;
      connection = null;
      endIfAgentIsGone();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen('socket', resolve);
  });
  setTimeout(endIfAgentIsGone, FIRST_CONNECTION_MAX_MS);

  game = await startGame(launch, {
    onOutput(stream, data) {
      ring.append(stream, data, Date.now());
      connection?.pump();
    },
  });
  try {
    writeRecord(launch, game.pid);
  } catch (error) {
    // The directory is gone: a newer agent has given this shim up, and nobody would find the game again.
    await game.signal('SIGKILL');
    throw error;
  }
  void game.ended.then((ended) => {
    exit = ended;
    connection?.pump();
    setTimeout(end, COLLECTION_MAX_MS);
    setInterval(endIfForgotten, FORGOTTEN_POLL_MS);
  });
}

/** By a relative path, so that it can never become the record of a later shim in a directory of this name. */
function writeRecord(launch: ShimLaunch, gamePid: number) {
  const record: ShimRecord = {
    ...identifyProcess(process.pid),
    gamePid,
    gameStartTime: identifyProcess(gamePid).startTime,
    startedAt: new Date().toISOString(),
    runId: launch.runId,
    cgroupDirectories: launch.cgroupDirectories,
  };
  writeFileSync(`${RECORD_NAME}.tmp`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${RECORD_NAME}.tmp`, RECORD_NAME);
}
