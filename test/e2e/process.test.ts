import { readdir, readFile } from 'node:fs/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serverIs } from './api.js';
import { command, type Game, installAndStart, type Stage, setStage, stop } from './main-job.js';
import { until } from './processes.js';

/** Counts aloud 200 times a second, repeats what it is told, and ends when it is told to. */
const COUNTING_GAME = `
import { createInterface } from 'node:readline';
let count = 0;
console.log('World loaded on port ' + process.env.PORT);
setInterval(() => console.log('tick ' + ++count), 5);
createInterface({ input: process.stdin }).on('line', (line) => {
  if (line === 'quit') process.exit(0);
  console.log('you said: ' + line);
});`;

const counting: Game = {
  runtime: 'process',
  template: {
    name: 'Counting',
    dockerImage: 'node:20-bookworm-slim',
    startCommand: 'node game.mjs',
    stopCommand: 'quit',
    startupDetection: 'World loaded',
    installScript: `echo "unpacking"\ncat > game.mjs <<'GAME'\n${COUNTING_GAME}\nGAME\n`,
    ports: [{ internal: 3979, external: 3979 }],
    environment: {},
    requiredVariables: [],
  },
};

describe('a game as a plain process', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await setStage(counting);
  }, 120_000);
  afterAll(() => stage?.close());

  function ticks(): number[] {
    return stage.watcher
      .lines()
      .flatMap(({ text }) => (text.startsWith('tick ') ? [Number(text.slice(5))] : []));
  }

  async function ticksGoOn(): Promise<void> {
    const seen = ticks().length;
    await stage.watcher.until('it counts on', () => ticks().length > seen + 100);
  }

  test('is installed, starts, talks and listens', async () => {
    await installAndStart(stage);
    await stage.watcher.untilLine(/^unpacking/);
    await stage.watcher.untilLine(new RegExp(`^World loaded on port ${stage.hostPort}$`));
    await stage.user.must('POST', `/api/servers/${stage.serverId}/command`, { command: 'hello' });
    await stage.watcher.untilLine(/^you said: hello$/);
    await stage.watcher.until('stats come', () => stage.watcher.stats().length >= 2);
    expect(stage.watcher.stats().at(-1)?.memoryMb).toBeGreaterThan(10);
  }, 60_000);

  test('counts on while the panel is killed, and not a line is lost or comes twice', async () => {
    await stage.killPanel();
    await stage.startPanel();
    await stage.watcher.reconnect();
    await ticksGoOn();
    await serverIs(stage.user, stage.serverId, 'running');
  }, 60_000);

  test('counts on while the agent is killed, and not a line is lost or comes twice', async () => {
    await stage.killAgent();
    stage.startAgent();
    await ticksGoOn();
    await command(stage, 'still there?');
    await stage.watcher.untilLine(/^you said: still there\?$/);
    await serverIs(stage.user, stage.serverId, 'running');
  }, 60_000);

  test('survives both killed at once', async () => {
    await Promise.all([stage.killPanel(), stage.killAgent()]);
    stage.startAgent();
    await stage.startPanel();
    await stage.watcher.reconnect();
    await ticksGoOn();
  }, 60_000);

  test('stops by its console command, and its console has no hole and no repetition', async () => {
    await stop(stage);
    const counted = ticks();
    expect(counted).toEqual(counted.map((_, index) => index + 1));
    const numbers = stage.watcher.lines().map((line) => line.seq);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(stage.watcher.gaps()).toEqual([]);
  }, 60_000);

  test('comes back by itself after a crash, and says so', async () => {
    await stage.user.must('POST', `/api/servers/${stage.serverId}/start`);
    await stage.watcher.until('it runs', () => stage.watcher.states().at(-1) === 'running');
    const before = stage.watcher.states().length;
    const { body } = await stage.user.must('GET', `/api/servers/${stage.serverId}`);
    expect(body.data.crashCount).toBe(0);
    const { pid } = await findGame(stage.hostPort);
    process.kill(pid, 'SIGKILL');
    await stage.watcher.until('it runs again', () =>
      stage.watcher.states().slice(before).join().startsWith('crashed,starting,running'),
    );
    await until('the crash is counted', async () => {
      const answer = await stage.user.must('GET', `/api/servers/${stage.serverId}`);
      return answer.body.data.crashCount === 1 && answer.body.data.lastCrashAt !== null;
    });
  }, 60_000);
});

/** The game's process, found by the PORT in its environment. */
async function findGame(port: number): Promise<{ pid: number }> {
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const environment = await readFile(`/proc/${name}/environ`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    if (command.includes('game.mjs') && environment.split('\0').includes(`PORT=${port}`))
      return { pid: Number(name) };
  }
  throw new Error('The game does not run.');
}
