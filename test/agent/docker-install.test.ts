import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { describeDocker } from '../helpers/docker.js';
import { createNode, createRuntime, docker, makePlan, record, uid } from './docker-harness.js';
import { createRegistry } from './docker-registry.js';

const patience = { timeout: 15_000, interval: 20 };
const never = new AbortController().signal;

describeDocker('installing a server in Docker', { timeout: 60_000 }, () => {
  test('the script works in the server’s directory, its output is handed over, and a container is made', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('true', {
      environment: { GREETING: 'hello' },
      installScript: 'echo "$GREETING from $PWD"\r\necho warning >&2\r\necho content > made-by-install\r\n',
    });
    const output = record();
    const { containerId } = await runtime.install(plan, output, never);
    expect(output.lines.toSorted()).toEqual(['hello from /data', 'warning']);
    expect(output.progress.map(({ phase }) => phase)).toEqual(['preparing', 'installing', 'creating']);
    const path = join(plan.directory, 'made-by-install');
    expect(await readFile(path, 'utf8')).toBe('content\n');
    expect((await stat(path)).uid).toBe(uid);
    const made = await docker.getContainer(containerId ?? '').inspect();
    expect(made).toMatchObject({ Name: `/${plan.containerName}`, State: { Status: 'created' } });
    expect(await runtime.adopt(plan.uuid, null, record())).toBeNull();
  });

  test('a script that fails says so with its code, and nothing of it is left', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('true', { installScript: 'echo half-way; exit 3' });
    const output = record();
    await expect(runtime.install(plan, output, never)).rejects.toMatchObject({
      name: 'InstallError',
      message: 'the install script failed with code 3',
      exitCode: 3,
    });
    expect(output.lines).toEqual(['half-way']);
    expect(await runtime.list()).toEqual([]);
  });

  test('an aborted installation ends at once and leaves nothing running', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('true', { installScript: 'echo working; sleep 1000' });
    const control = new AbortController();
    const output = record();
    const outcome = expect(runtime.install(plan, output, control.signal)).rejects.toMatchObject({
      name: 'AbortError',
    });
    await vi.waitFor(() => expect(output.lines).toEqual(['working']), patience);
    control.abort();
    await outcome;
    expect(await runtime.list()).toEqual([]);
  });

  test('what a killed agent was installing is removed by the next one', async () => {
    const { nodeId, runtime } = await createNode();
    const plan = await makePlan('true', { installScript: 'echo working; sleep 1000' });
    const output = record();
    const outcome = expect(runtime.install(plan, output, never)).rejects.toMatchObject({
      name: 'InstallError',
    });
    await vi.waitFor(() => expect(output.lines).toEqual(['working']), patience);
    const next = await createRuntime(nodeId);
    expect(await next.list()).toEqual([]);
    await outcome;
  });

  test('an image is pulled with rising progress; without its registry `latest` serves from this machine', async () => {
    const { runtime } = await createNode();
    const registry = await createRegistry();
    const plan = await makePlan('true', { image: registry.image('games/example') });
    const output = record();
    const installed = runtime.install(plan, output, never);
    const percents = () =>
      output.progress.flatMap(({ phase, percent }) => (phase === 'pulling' ? [Number(percent)] : []));
    await vi.waitFor(() => expect(percents().at(-1)).toBeGreaterThan(10), patience);
    expect(percents().at(-1)).toBeLessThan(100);
    registry.release();
    await installed;
    expect(percents()).toEqual(percents().toSorted((a, b) => a - b));
    expect(percents().at(-1)).toBe(100);

    registry.close();
    const again = record();
    await runtime.install(plan, again, never);
    const messages = again.progress.map(({ message }) => message ?? '');
    expect(messages.join()).toContain('the one on this machine is used');
  });

  test('an image that is nowhere fails the installation by its name', async () => {
    const { runtime } = await createNode();
    const registry = await createRegistry();
    registry.close();
    const image = registry.image('games/absent:1');
    await expect(runtime.install(await makePlan('true', { image }), record(), never)).rejects.toMatchObject({
      name: 'InstallError',
      message: expect.stringContaining(`the image ${image} could not be pulled`),
    });
  });
});
