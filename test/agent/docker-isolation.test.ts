import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pino from 'pino';
import { expect, test } from 'vitest';
import { createDockerRuntime, dockerAnswers } from '../../agent/runtime/docker.js';
import type { ServerPlan } from '../../agent/runtime/runtime.js';
import { describeDocker, dockerSocket } from '../helpers/docker.js';
import { createNode, docker, gid, makePlan, record, uid } from './docker-harness.js';

describeDocker('what a server in Docker may do', { timeout: 60_000 }, () => {
  test('the engine was told every limit and took nothing more', async () => {
    const { nodeId, runtime } = await createNode();
    const ports = [{ hostIp: '127.0.0.1', hostPort: 28_792, containerPort: 25_565 }];
    const plan = await makePlan('read -r _', { memoryMb: 96, cpuCores: 0.5, ports });
    const server = await runtime.start(plan, record());
    const { Config, HostConfig, Mounts } = await docker.getContainer(server.containerId ?? '').inspect();
    const binding = [{ HostIp: '127.0.0.1', HostPort: '28792' }];
    expect(HostConfig).toMatchObject({
      Privileged: false,
      CapDrop: ['ALL'],
      SecurityOpt: ['no-new-privileges'],
      PidsLimit: 512,
      Memory: 96 * 1024 * 1024,
      MemorySwap: 96 * 1024 * 1024,
      NanoCpus: 500_000_000,
      RestartPolicy: { Name: 'no' },
      NetworkMode: 'bridge',
      IpcMode: 'private',
      Init: true,
      PidMode: '',
      PortBindings: { '25565/tcp': binding, '25565/udp': binding },
    });
    expect(HostConfig.CapAdd ?? []).toEqual([]);
    expect(HostConfig.OomScoreAdj).toBeGreaterThan(0);
    expect(Mounts).toHaveLength(1);
    expect(Mounts[0]).toMatchObject({ Type: 'bind', Source: plan.directory, Destination: '/data' });
    expect(Config).toMatchObject({ User: `${uid}:${gid}`, Tty: false, OpenStdin: true });
    expect(Config.Labels).toMatchObject({ 'catalyst.server': plan.uuid, 'catalyst.node': nodeId });
  });

  test('from inside: no capability, no way to more, its own user, one directory to write, few processes', async () => {
    const { runtime } = await createNode();
    const script = [
      'echo "is $(id -u):$(id -g) in $PWD, home $HOME"',
      'grep -E "^(CapInh|CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):" /proc/1/status /proc/self/status',
      'su -c "echo became root" </dev/null; chown 0 . && echo gave away; mount -t tmpfs x /mnt && echo mounted',
      'touch /data/mine && echo wrote; touch /usr/other && echo wrote elsewhere',
      'for i in $(seq 600); do sleep 5 & done 2>&1 | grep -m1 -o "Resource temporarily unavailable"',
    ].join('\n');
    const output = record();
    const server = await runtime.start(await makePlan(script), output);
    await server.exited;
    expect(output.lines).toContain(`is ${uid}:${gid} in /data, home /data`);
    const status = output.lines.filter((line) => /^\/proc\/(1|self)\/status:/.test(line));
    expect(status).toHaveLength(14);
    for (const line of status) {
      if (line.includes(':Cap')) expect(line).toMatch(/0{16}$/);
      if (line.includes('NoNewPrivs')) expect(line).toMatch(/1$/);
      if (line.includes('Seccomp')) expect(line).toMatch(/2$/);
    }
    expect(output.lines).toContain('wrote');
    expect(output.lines).toContain('Resource temporarily unavailable');
    for (const escaped of ['became root', 'gave away', 'mounted', 'wrote elsewhere']) {
      expect(output.lines).not.toContain(escaped);
    }
  });

  test('a server’s directory may have any name: nothing in it becomes an option of the mount', async () => {
    const { runtime } = await createNode();
    const plan = await makePlan('cat note');
    await writeFile(join(plan.directory, 'note'), 'seen\n');
    const directory = `${plan.directory}:ro,x=1`;
    await rename(plan.directory, directory);
    const output = record();
    const server = await runtime.start({ ...plan, directory }, output);
    await server.exited;
    await rm(directory, { recursive: true });
    expect(output.lines).toEqual(['seen']);
  });

  test.each<[string, Partial<ServerPlan>]>([
    ['a UUID with a path', { uuid: '../../etc' }],
    ['a UUID that is a filter', { uuid: 'a=b' }],
    ['a container name with a slash', { containerName: '../other' }],
    ['a container name with a query', { containerName: 'x?force=1' }],
    ['an image with a scheme', { image: 'https://example.com/image' }],
    ['an image with a space', { image: 'debian --privileged' }],
    ['an image with an upper-case path', { image: 'example.com/Games/Image' }],
    ['an install image with a line break', { installImage: 'debian\nbookworm' }],
    ['another container’s network', { networkMode: 'container:other' }],
    ['an empty network', { networkMode: '' }],
    ['a data path that is the root', { dataPath: '/' }],
    ['a data path that climbs', { dataPath: '/data/../etc' }],
    ['a data path over the kernel’s files', { dataPath: '/proc/sys' }],
    ['a relative data path', { dataPath: 'data' }],
    ['a relative directory', { directory: 'servers/x' }],
    ['a variable name with an equals sign', { environment: { 'A=B': 'c' } }],
    ['a value with a NUL', { environment: { A: 'b\0c' } }],
    ['a command word with a NUL', { command: ['echo', 'a\0b'] }],
    ['a host address that is a name', { ports: [{ hostIp: 'localhost', hostPort: 1024, containerPort: 1 }] }],
    ['a port that is none', { ports: [{ hostIp: '0.0.0.0', hostPort: 70_000, containerPort: 1 }] }],
    ['memory without a limit', { memoryMb: 0 }],
    ['cores that are no number', { cpuCores: Number.NaN }],
  ])('%s never reaches the engine', async (_, changes) => {
    const { runtime } = await createNode();
    const plan = { ...(await makePlan('true')), ...changes };
    await expect(runtime.start(plan, record())).rejects.toThrow(/^not /);
    await expect(runtime.install(plan, record(), new AbortController().signal)).rejects.toMatchObject({
      name: 'InstallError',
      message: expect.stringMatching(/^not /),
    });
    expect(await runtime.list()).toEqual([]);
  });

  test('a UUID, a node’s id or a user that is none is refused', async () => {
    const { runtime } = await createNode();
    await expect(runtime.remove('x')).rejects.toThrow("not a server's UUID");
    await expect(runtime.adopt('x', null, record())).rejects.toThrow("not a server's UUID");
    const options = { socketPath: dockerSocket, nodeId: 'n', uid, gid, log: pino({ level: 'silent' }) };
    await expect(createDockerRuntime({ ...options, nodeId: 'a=b' })).rejects.toThrow("not a node's id");
    await expect(createDockerRuntime({ ...options, uid: 0 })).rejects.toThrow('never run as root');
  });
});

test('a socket that is not there is no engine', async () => {
  expect(await dockerAnswers('/nonexistent/docker.sock')).toBe(false);
});
