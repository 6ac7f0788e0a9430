import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test, vi } from 'vitest';
import { describeDocker, dockerSocket, gameImage } from '../helpers/docker.js';
import { createNode, createProxy, docker, makePlan, record } from './docker-harness.js';

const patience = { timeout: 15_000, interval: 20 };

describeDocker('servers in Docker', { timeout: 60_000 }, () => {
  test('a real game: console lines, commands answered, usage measured, quit ends it with code 0', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('', {
      image: gameImage,
      command: ['/usr/games/openttd', '-D', '-d', 'net=1'],
      memoryMb: 512,
      ports: [{ hostIp: '127.0.0.1', hostPort: 28_790, containerPort: 3979 }],
    });
    const output = record();
    const server = await runtime.start(plan, output);
    await vi.waitFor(() => expect(output.lines.join()).toContain('Game Console Revision'), patience);

    await server.write('say "hello there"\n');
    await vi.waitFor(
      () => expect(output.lines.join()).toContain('[All] Unnamed Client: hello there'),
      patience,
    );
    await server.write('clients\n');
    await vi.waitFor(() => expect(output.lines.join()).toContain('Client #1  name:'), patience);

    const usage = await server.usage();
    expect(usage?.cpuPercent).toBeGreaterThan(0);
    expect(usage?.memoryMb).toBeGreaterThan(5);
    expect(usage?.memoryMb).toBeLessThan(512);

    await server.write('quit\n');
    await expect(server.exited).resolves.toMatchObject({ exitCode: 0, oomKilled: false });
    expect(await server.usage()).toBeNull();
  });

  test('what a server writes is handed over to its last byte before its exit is told', async () => {
    const { runtime } = await createNode();
    const long = 'x'.repeat(40_000);
    const plan = await makePlan(
      `echo out; echo err >&2; echo ${long}; seq 20000; printf 'no newline'; exit 7`,
    );
    const output = record();
    const server = await runtime.start(plan, output);
    await expect(server.exited).resolves.toMatchObject({ exitCode: 7 });
    const numbers = output.lines.filter((line) => /^\d+$/.test(line));
    expect(numbers).toEqual(Array.from({ length: 20_000 }, (_, index) => String(index + 1)));
    expect(output.lines).toContain(long);
    expect(output.lines).toContain('err');
    expect(output.rest).toBe('no newline');
  });

  test('what is written to a server arrives as it is, and what came before the start is not lost', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('while read -r line; do echo "got <$line>"; done');
    const output = record();
    const server = await runtime.start(plan, output);
    await server.write('first\n');
    await server.write('zweite Zeile: größer\n');
    await vi.waitFor(() => expect(output.lines).toHaveLength(2), patience);
    expect(output.lines).toEqual(['got <first>', 'got <zweite Zeile: größer>']);
    await server.signal('SIGKILL');
    await server.exited;
    await expect(server.write('too late\n')).rejects.toThrow();
  });

  test('a signal reaches the process, and one to an ended server is no error', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('trap "echo saving; exit 5" TERM; echo ready; while :; do sleep 0.1; done');
    const output = record();
    const server = await runtime.start(plan, output);
    await vi.waitFor(() => expect(output.lines).toContain('ready'), patience);
    await server.signal('SIGTERM');
    await expect(server.exited).resolves.toMatchObject({ exitCode: 5 });
    expect(output.lines).toContain('saving');
    await server.signal('SIGKILL');
  });

  test('SIGKILL ends everything that the server started, with code 137', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan(
      'setsid sleep 1000 & trap "" TERM INT; echo ready; while :; do sleep 0.1; done',
    );
    const output = record();
    const server = await runtime.start(plan, output);
    await vi.waitFor(() => expect(output.lines).toContain('ready'), patience);
    await server.signal('SIGKILL');
    await expect(server.exited).resolves.toMatchObject({ exitCode: 137, oomKilled: false });
  });

  test('a server that takes more memory than it has is killed, and that is told', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('echo growing; tail /dev/zero', { memoryMb: 32 });
    const server = await runtime.start(plan, record());
    await expect(server.exited).resolves.toMatchObject({ exitCode: 137, oomKilled: true });
  });

  test('adopting in the middle of the output gives every line once and takes commands again', async () => {
    const { runtime } = await createNode();
    const script =
      'i=0; while [ $i -lt 6000 ]; do i=$((i+1)); echo $i; [ $((i % 20)) = 0 ] && sleep 0.01; done; read -r word; echo "word $word"';
    const plan = await makePlan(script);
    const first = record();
    const server = await runtime.start(plan, first);
    await vi.waitFor(() => expect(first.lines.length).toBeGreaterThan(500), patience);
    server.detach();
    const seen = first.lines;
    const cursor = first.cursor;

    const second = record();
    const adopted = await runtime.adopt(plan.uuid, cursor, second);
    await vi.waitFor(() => expect(second.lines.length).toBeGreaterThan(500), patience);
    adopted?.detach();
    const third = record();
    const last = await runtime.adopt(plan.uuid, second.cursor, third);
    await last?.write('sesame\n');
    await expect(last?.exited).resolves.toMatchObject({ exitCode: 0 });
    expect([...seen, ...second.lines, ...third.lines]).toEqual([
      ...Array.from({ length: 6000 }, (_, index) => String(index + 1)),
      'word sesame',
    ]);
    expect(last?.startedAt).toEqual(server.startedAt);
    expect(second.losses + third.losses).toBe(0);
  });

  test('a server that ended while nobody looked is adopted with the rest of its output and its code', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('echo one; echo two >&2; read -r _; echo three; exit 9');
    const first = record();
    const server = await runtime.start(plan, first);
    await vi.waitFor(() => expect(first.lines).toHaveLength(2), patience);
    await server.write('\n');
    server.detach();
    await docker.getContainer(server.containerId ?? '').wait();

    const second = record();
    const adopted = await runtime.adopt(plan.uuid, first.cursor, second);
    await expect(adopted?.exited).resolves.toMatchObject({ exitCode: 9 });
    expect([...first.lines, ...second.lines].sort()).toEqual(['one', 'three', 'two']);
  });

  test('while output is paused the server runs on, and nothing is missing afterwards', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('seq 300000; echo done > finished');
    const output = record();
    const server = await runtime.start(plan, output);
    server.pauseOutput();
    await vi.waitFor(() => readFile(join(plan.directory, 'finished')), patience);
    expect(output.lines.length).toBeLessThan(300_000);
    server.resumeOutput();
    await server.exited;
    expect(output.lines).toEqual(Array.from({ length: 300_000 }, (_, index) => String(index + 1)));
    expect(output.losses).toBe(0);
  });

  test('output that the engine no longer has is announced as lost, and the newest is there', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan(
      'echo first; read -r _; seq -f "%.0f padding padding padding padding padding" 600000; read -r _',
    );
    const first = record();
    const server = await runtime.start(plan, first);
    await vi.waitFor(() => expect(first.lines).toEqual(['first']), patience);
    server.pauseOutput();
    await server.write('\n');
    server.detach();

    const second = record();
    await vi.waitFor(
      async () => {
        const log = await docker.getContainer(server.containerId ?? '').logs({ stdout: true, tail: 1 });
        expect(log.toString()).toContain('600000 ');
      },
      { timeout: 40_000, interval: 200 },
    );
    const adopted = await runtime.adopt(plan.uuid, first.cursor, second);
    await vi.waitFor(() => expect(second.lines.at(-1)).toMatch(/^600000 /), patience);
    expect(second.losses).toBe(1);
    const numbers = second.lines.map((line) => Number(line.split(' ')[0]));
    expect(numbers[0]).toBeGreaterThan(1);
    expect(numbers).toEqual(Array.from(numbers, (_, index) => (numbers[0] ?? 0) + index));
    adopted?.detach();
  });

  test('a flood through rotations of the log arrives complete and in order', async () => {
    const { runtime } = await createNode();
    // About 40 MB in the engine's log: two rotations, and within what it keeps however slow this machine is.
    const plan = await makePlan(`seq -f "%.0f ${'padding '.repeat(16)}" 160000`);
    const output = record();
    const server = await runtime.start(plan, output);
    await server.exited;
    const numbers = output.lines.map((line) => Number(line.split(' ')[0]));
    expect(numbers).toEqual(Array.from({ length: 160_000 }, (_, index) => index + 1));
    expect(output.losses).toBe(0);
  });

  test('a lost connection to the engine is no exit: output and commands go on when it is back', async () => {
    const engine = await createProxy(dockerSocket);
    const { runtime } = await createNode(engine.path);
    const plan = await makePlan('i=0; while read -r line; do i=$((i+1)); echo "$i $line"; done; exit 4');
    const output = record();
    const server = await runtime.start(plan, output);
    const exits = vi.fn();
    void server.exited.then(exits);
    await server.write('one\n');
    await vi.waitFor(() => expect(output.lines).toEqual(['1 one']), patience);

    await engine.disconnect();
    await expect(server.write('lost\n')).rejects.toThrow();
    expect(await server.usage()).toBeNull();
    await engine.reconnect();
    await vi.waitFor(() => server.write('two\n'), patience);
    await vi.waitFor(() => expect(output.lines).toEqual(['1 one', '2 two']), patience);
    expect(exits).not.toHaveBeenCalled();

    await server.signal('SIGKILL');
    await expect(server.exited).resolves.toMatchObject({ exitCode: 137 });
  });

  test('starting again replaces the earlier container, and removing leaves nothing', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('echo "run $RUN"; exit 0', { environment: { RUN: '1' } });
    const first = await runtime.start(plan, record());
    await first.exited;
    const output = record();
    const second = await runtime.start({ ...plan, environment: { RUN: '2' } }, output);
    await second.exited;
    expect(output.lines).toEqual(['run 2']);
    expect(await runtime.list()).toEqual([plan.uuid]);
    await expect(docker.getContainer(first.containerId ?? '').inspect()).rejects.toMatchObject({
      statusCode: 404,
    });

    await runtime.remove(plan.uuid);
    expect(await runtime.list()).toEqual([]);
    expect(await runtime.adopt(plan.uuid, null, record())).toBeNull();
    await runtime.remove(plan.uuid);
  });
});

describeDocker('what cannot start in Docker says why', { timeout: 60_000 }, () => {
  test('a port that is in use is named, and no container is left', async () => {
    const { runtime } = await createNode();
    const busy = createServer().listen(0, '127.0.0.1');
    await once(busy, 'listening');
    onTestFinished(() => void busy.close());
    const address = busy.address();
    const port = typeof address === 'object' ? (address?.port ?? 0) : 0;
    const plan = await makePlan('read -r _', {
      ports: [{ hostIp: '127.0.0.1', hostPort: port, containerPort: 7000 }],
    });
    await expect(runtime.start(plan, record())).rejects.toMatchObject({
      code: 'port.in_use',
      message: `port ${port} is already in use on this node`,
    });
    expect(await runtime.list()).toEqual([]);
  });

  test('a port that another container has is named', async () => {
    const { runtime } = await createNode();
    const ports = [{ hostIp: '127.0.0.1', hostPort: 28_791, containerPort: 7000 }];
    await runtime.start(await makePlan('read -r _', { ports }), record());
    const second = runtime.start(await makePlan('read -r _', { ports }), record());
    await expect(second).rejects.toThrow('port 28791 is already in use');
  });

  test('an image that is not there, and a command that is not in it', async () => {
    const { runtime } = await createNode();
    const missing = await makePlan('true', { image: 'catalyst-test/absent:1' });
    await expect(runtime.start(missing, record())).rejects.toThrow(
      'catalyst-test/absent:1 is not on this node',
    );
    const wrong = await makePlan('', { command: ['/no/such/program'] });
    const output = record();
    const outcome = runtime.start(wrong, output).then((server) => server.exited);
    // The engine starts its init, which then cannot find the program.
    await expect(outcome).resolves.toMatchObject({ exitCode: 127 });
    expect(output.lines.join()).toContain('/no/such/program');
  });

  test('a container of somebody else with the same name stays untouched', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('true');
    const foreign = await docker.createContainer({
      name: plan.containerName,
      Image: plan.image,
      Cmd: ['true'],
    });
    onTestFinished(() => foreign.remove());
    await expect(runtime.start(plan, record())).rejects.toThrow('does not belong to this server');
    await runtime.remove(plan.uuid);
    await expect(foreign.inspect()).resolves.toMatchObject({ Id: foreign.id });
  });

  test('another node on the same engine sees and removes nothing of this one', async () => {
    const { runtime } = await createNode();
    const { runtime: other } = await createNode();
    const plan = await makePlan('read -r _');
    const server = await runtime.start(plan, record());
    expect(await other.list()).toEqual([]);
    await other.remove(plan.uuid);
    expect(await other.adopt(plan.uuid, null, record())).toBeNull();
    expect(await server.usage()).not.toBeNull();
  });
});
