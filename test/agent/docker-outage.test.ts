import { randomUUID } from 'node:crypto';
import { expect, onTestFinished, test, vi } from 'vitest';
import { baseImage, describeDocker, dockerSocket } from '../helpers/docker.js';
import { createNode, createProxy, createRuntime, docker, makePlan, record } from './docker-harness.js';
import {
  command,
  connectAgent,
  linesOf,
  makeDataDir,
  makePanel,
  run,
  specify,
  statesOf,
  waitForLine,
  waitForState,
} from './harness.js';

const patience = { timeout: 15_000, interval: 20 };
/** How many events an engine remembers, and some more. */
const FORGOTTEN_EVENTS = 300;
const SAVE_AND_QUIT = 'trap "echo saving; exit 0" TERM; echo ready; while :; do sleep 0.05; done';

describeDocker('ends with code 0 that nobody asked for', { timeout: 60_000 }, () => {
  test('a game that was signalled from outside, as a stopping engine does, has no code to go by', async () => {
    const { runtime } = await createNode();
    const output = record();
    const server = await runtime.start(await makePlan(SAVE_AND_QUIT), output);
    await vi.waitFor(() => expect(output.lines).toContain('ready'), patience);
    await docker.getContainer(server.containerId ?? '').stop();
    await expect(server.exited).resolves.toMatchObject({ exitCode: null });
    expect(output.lines).toContain('saving');
  });

  test('a game that ended after the agent’s own signal keeps its code', async () => {
    const { runtime } = await createNode();
    const output = record();
    const server = await runtime.start(await makePlan(SAVE_AND_QUIT), output);
    await vi.waitFor(() => expect(output.lines).toContain('ready'), patience);
    await server.signal('SIGTERM');
    await expect(server.exited).resolves.toMatchObject({ exitCode: 0 });
  });

  test('a game that quit while nobody watched keeps its code until the engine has forgotten its end', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('read -r _');
    const server = await runtime.start(plan, record());
    await server.write('\n');
    server.detach();
    await docker.getContainer(server.containerId ?? '').wait();
    const remembered = await runtime.adopt(plan.uuid, null, record());
    await expect(remembered?.exited).resolves.toMatchObject({ exitCode: 0 });

    const other = await docker.createContainer({ Image: baseImage, Cmd: ['true'] });
    onTestFinished(() => other.remove());
    for (let count = 0; count < FORGOTTEN_EVENTS; count += 1)
      await other.rename({ name: `catalyst-${randomUUID()}` });
    const forgotten = await runtime.adopt(plan.uuid, null, record());
    await expect(forgotten?.exited).resolves.toMatchObject({ exitCode: null });
  });

  test('under on-failure such a game is started again', async () => {
    const { panel, findContainer } = await connectDockerAgent();
    const server = { ...dockerServer(SAVE_AND_QUIT), primaryPort: 28_795 };
    await run(panel, server);
    await waitForLine(panel, server, 'ready');
    await (await findContainer(server)).stop();
    await waitForState(panel, server, 'crashed');
    await panel.until('it runs again', () => statesOf(panel, server).at(-1) === 'running');
  });
});

describeDocker('an engine that is away', { timeout: 60_000 }, () => {
  test('restarts wait for it and count nothing; commands are told that it does not answer', async () => {
    const { panel, engine } = await connectDockerAgent();
    const sentence = `Docker does not answer on this node (socket ${engine.path}): is it running?`;
    const crashing = {
      ...dockerServer('[ -e crashed ] || { touch crashed; exit 3; }; echo up; read -r _'),
      primaryPort: 28_796,
    };
    const idle = { ...dockerServer('read -r _'), primaryPort: 28_797 };
    await command(panel, 'install_server', idle);
    await run(panel, crashing);
    await waitForState(panel, crashing, 'crashed');
    await engine.disconnect();
    const from = panel.messages.length;
    const waits = () =>
      panel.messages
        .slice(from)
        .filter(
          (message) => message.type === 'server_state_update' && message.serverId === crashing.serverId,
        );
    await panel.until('it was tried three times', () => waits().length >= 3);
    for (const wait of waits()) {
      expect(wait).toMatchObject({ state: 'crashed', crashCount: 1 });
      expect(wait).toMatchObject({ reason: `waits to be started again: ${sentence}` });
    }
    const notices = linesOf(panel, crashing).filter((line) => line.includes('does not answer'));
    expect(notices).toEqual([`[Catalyst] ${sentence} The server is started again as soon as it answers.`]);
    for (const type of ['start_server', 'install_server'] as const) {
      const refused = await command(panel, type, idle);
      expect(refused).toMatchObject({ ok: false, code: 'runtime.unavailable', message: sentence });
    }

    await engine.reconnect();
    await waitForLine(panel, crashing, 'up');
    expect(statesOf(panel, crashing).slice(-3)).toEqual(['crashed', 'starting', 'running']);
  });
});

/** An agent whose engine can be taken away from it. */
async function connectDockerAgent() {
  const nodeId = `test-${randomUUID()}`;
  const panel = await makePanel();
  const engine = await createProxy(dockerSocket);
  onTestFinished(async () => {
    const cleaner = await createRuntime(nodeId);
    for (const uuid of await cleaner.list()) await cleaner.remove(uuid);
  });
  await connectAgent(
    panel,
    makeDataDir(),
    { crashBackoffMinMs: 500 },
    { nodeId, runtime: 'docker', dockerSocket: engine.path },
  );
  const findContainer = async ({ serverUuid }: { serverUuid: string }) => {
    const found = await docker.listContainers({ all: true });
    const container = found.find(({ Labels }) => Object.values(Labels).includes(serverUuid));
    return docker.getContainer(container?.Id ?? '');
  };
  return { panel, engine, findContainer };
}

function dockerServer(script: string) {
  return specify(script, {
    template: { dockerImage: baseImage },
    command: ['bash', '-c', script],
    restartPolicy: 'on-failure',
    maxCrashCount: 1,
  });
}
