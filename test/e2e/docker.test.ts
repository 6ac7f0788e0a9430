import { execFileSync } from 'node:child_process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeDocker, gameImage } from '../helpers/docker.js';
import { nodeIsOnline, serverIs } from './api.js';
import { command, type Game, installAndStart, type Stage, setStage, stop } from './main-job.js';

const openTtd: Game = {
  runtime: 'docker',
  template: {
    name: 'OpenTTD for tests',
    dockerImage: gameImage,
    startCommand: '/usr/games/openttd -D 0.0.0.0:{{PORT}} -d net=1 -c /data/openttd.cfg',
    stopCommand: 'quit',
    startupDetection: 'Game Console Revision',
    installScript: 'echo "preparing a world"; touch openttd.cfg',
    ports: [{ internal: 3979, external: 3979 }],
    environment: { HOME: '/data' },
    requiredVariables: [],
  },
};

describeDocker('a real game in Docker', () => {
  let stage: Stage;
  beforeAll(async () => {
    stage = await setStage(openTtd);
  }, 120_000);
  afterAll(() => stage?.close());

  /** What the engine itself says of our server: "running", "exited", … or nothing. */
  function engineState(): string {
    return execFileSync('docker', [
      ...['ps', '--all', '--filter', `label=catalyst.server=${stage.uuid}`, '--format', '{{.State}}'],
    ])
      .toString()
      .trim();
  }

  test('is installed, starts, talks and listens, and docker ps agrees', async () => {
    expect(engineState()).toBe('');
    await installAndStart(stage);
    await stage.watcher.untilLine(/preparing a world/);
    await stage.watcher.untilLine(/Game Console Revision/);
    expect(engineState()).toBe('running');

    stage.watcher.send({
      type: 'console_input',
      serverId: stage.serverId,
      data: 'echo "typed in the console"\n',
    });
    expect((await stage.watcher.untilLine(/^typed in the console/)).stream).toBe('stdout');
    const answer = await stage.user.must('POST', `/api/servers/${stage.serverId}/command`, {
      command: 'say "hello world"',
    });
    expect(answer.body).toEqual({ success: true, message: 'Command sent' });
    await stage.watcher.untilLine(/\[All\].*: hello world/);
  }, 180_000);

  test('reports live CPU and memory', async () => {
    await stage.watcher.until('stats come', () => stage.watcher.stats().length >= 3);
    expect(stage.watcher.stats().at(-1)?.memoryMb).toBeGreaterThan(1);
  });

  test('runs on while the panel is killed, and nothing of its console is lost or comes twice', async () => {
    await stage.killPanel();
    expect(engineState()).toBe('running');
    await stage.startPanel();
    await stage.watcher.reconnect();
    await serverIs(stage.user, stage.serverId, 'running');
    await command(stage, 'echo "after the panel"');
    await stage.watcher.untilLine(/^after the panel/);
    expect(engineState()).toBe('running');
  }, 60_000);

  test('runs on while the agent is killed, and what it says meanwhile arrives', async () => {
    await stage.killAgent();
    expect(engineState()).toBe('running');
    stage.startAgent();
    await command(stage, 'echo "after the agent"');
    await stage.watcher.untilLine(/^after the agent/);
    await serverIs(stage.user, stage.serverId, 'running');
  }, 60_000);

  test('stops cleanly by its console command', async () => {
    await stop(stage);
    expect(engineState()).toBe('exited');
    const { body } = await stage.user.must('GET', `/api/servers/${stage.serverId}`);
    expect(body.data.exitCode).toBe(0);
  }, 60_000);

  test('has a console without a hole or a repetition from the first line to the last', async () => {
    const numbers = stage.watcher.lines().map((line) => line.seq);
    expect(numbers).toEqual(numbers.map((_, index) => index + 1));
    expect(stage.watcher.gaps()).toEqual([]);
    const stored = await stage.user.must('GET', `/api/servers/${stage.serverId}/logs?limit=1000`);
    expect(stored.body.data.map((entry: { data: string }) => entry.data.replace(/\n$/, ''))).toEqual(
      stage.watcher.lines().map((line) => line.text),
    );
  });

  test('is gone from the engine when it is deleted', async () => {
    await stage.user.must('DELETE', `/api/servers/${stage.serverId}`);
    expect(engineState()).toBe('');
    await nodeIsOnline(stage.admin, (await stage.admin.must('GET', '/api/nodes')).body.data[0].id);
  }, 60_000);
});
