import { once } from 'node:events';
import { chmodSync, existsSync, lstatSync, readdirSync, type Stats } from 'node:fs';
import { join } from 'node:path';
import pino from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { createDockerRuntime } from '../../agent/runtime/docker.js';
import { baseImage, describeDocker, dockerSocket } from '../helpers/docker.js';
import { createNode, docker, gid, makePlan, record, uid } from './docker-harness.js';
import {
  command,
  connectAgent,
  eventually,
  isRoot,
  linesOf,
  makeDataDir,
  makePanel,
  outputOf,
  SERVER_UID,
  type Specification,
  spawnAgent,
  specify,
  waitForLine,
} from './harness.js';

const never = new AbortController().signal;
const docked = { runtime: 'docker' as const, dockerSocket };
/** A package and a repository of the container's own, because a test has no way to Debian's. */
const MAKE_REPOSITORY = [
  'mkdir -p /tmp/p/DEBIAN /tmp/p/opt/game /repo',
  'printf "Package: game\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.com>\\nDescription: x\\n" > /tmp/p/DEBIAN/control',
  'printf "#!/bin/sh\\nset -e\\nchown nobody /opt/game/data\\nuseradd -r gameuser\\n" > /tmp/p/DEBIAN/postinst; chmod 755 /tmp/p/DEBIAN/postinst',
  'echo content > /tmp/p/opt/game/data',
  'dpkg-deb -b /tmp/p /repo/game.deb >/dev/null',
  'cd /repo && size=$(stat -c %s game.deb) && sum=$(sha256sum game.deb | cut -d" " -f1)',
  '{ cat /tmp/p/DEBIAN/control; printf "Filename: ./game.deb\\nSize: $size\\nSHA256: $sum\\n\\n"; } > Packages',
  'rm -rf /etc/apt/sources.list*; echo "deb [trusted=yes] file:/repo ./" > /etc/apt/sources.list',
].join('\n');

/** An agent of its own as a process of a node with Docker; its containers are removed at the end. */
async function cleanNode() {
  const clean = async () => {
    const cleaner = await createDockerRuntime({
      socketPath: dockerSocket,
      nodeId: 'node-1',
      uid,
      gid,
      log: pino({ level: 'silent' }),
    });
    for (const uuid of await cleaner.list()) await cleaner.remove(uuid);
  };
  onTestFinished(clean);
}

function specifyRoot(installScript: string): Specification {
  return specify('', {
    template: {
      dockerImage: baseImage,
      installScript,
      installAsRoot: true,
      installShell: 'bash',
      installDataPath: '/mnt/server',
    },
    command: ['sh', '-c', 'cat made; echo mine > made && echo wrote; read -r _'],
  });
}

describeDocker('install scripts that are made for root', { timeout: 120_000 }, () => {
  test('apt, dpkg, tar, chown and su work, in the directory at the path that the script expects', async () => {
    const { runtime } = await createNode();
    const script = [
      'set -e',
      'echo "$(id -u) in $PWD, home $HOME, $(basename $BASH)"',
      MAKE_REPOSITORY,
      'apt-get update >/dev/null && apt-get install -y game >/dev/null 2>&1 && stat -c "%U of data" /opt/game/data',
      'id -u gameuser >/dev/null && su -s /bin/sh nobody -c "id -un"',
      'mkdir /tmp/t && touch /tmp/t/a && chown 1234:1234 /tmp/t/a && chmod 4755 /tmp/t/a && tar -C /tmp -cf /tmp/t.tar t',
      'cd /mnt/server && tar -xf /tmp/t.tar && stat -c "%u %a" t/a',
      'echo x > /mnt/server/f && cat /data/f',
    ].join('\n');
    const plan = await makePlan('true', {
      installScript: script,
      installShell: 'bash',
      installAsRoot: true,
      installDataPath: '/mnt/server',
    });
    const output = record();
    await runtime.install(plan, output, never);
    expect(output.lines).toEqual([
      '0 in /mnt/server, home /root, bash',
      'nobody of data',
      'nobody',
      '1234 4755',
      'x',
    ]);
  });

  test('root of the container has nothing of the host’s, no way to more, and the same limits', async () => {
    const { runtime } = await createNode();
    const script = [
      'mknod /mnt/server/d b 8 0 && echo device; mount -t tmpfs x /mnt && echo mounted; hostname other && echo renamed',
      'grep -E "^(CapEff|CapBnd|NoNewPrivs|Seccomp):" /proc/self/status; echo "$(cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null) processes"',
      'exit 0',
    ].join('\n');
    const plan = await makePlan('true', {
      installScript: script,
      installAsRoot: true,
      installDataPath: '/mnt/server',
    });
    const output = record();
    await runtime.install(plan, output, never);
    // CHOWN, DAC_OVERRIDE, FOWNER, SETGID, SETUID: bits 0, 1, 3, 6 and 7.
    const capabilities = (0b11001011).toString(16).padStart(16, '0');
    expect(output.lines).toContain(`CapEff:\t${capabilities}`);
    expect(output.lines).toContain(`CapBnd:\t${capabilities}`);
    expect(output.lines).toContain('NoNewPrivs:\t1');
    expect(output.lines).toContain('512 processes');
    for (const escaped of ['device', 'mounted', 'renamed']) expect(output.lines).not.toContain(escaped);
  });

  test.each<[string, object]>([
    ['an install path over the system', { installDataPath: '/etc' }],
    ['an install path that climbs', { installDataPath: '/mnt/../etc' }],
    ['a shell with an option', { installShell: 'sh -x' }],
    ['a shell on a path that climbs', { installShell: '/bin/../../x y' }],
  ])('%s never reaches the engine', async (_, changes) => {
    const { runtime } = await createNode();
    const plan = await makePlan('true', { installScript: 'true', ...changes });
    await expect(runtime.install(plan, record(), never)).rejects.toThrow(/^not /);
  });
});

/** Everything in the directory, itself included. */
function everythingIn(directory: string): [string, Stats][] {
  const names = readdirSync(directory, { recursive: true }).map(String);
  return ['', ...names].map((name) => [name, lstatSync(join(directory, name))]);
}

function expectAllOwned(directory: string) {
  for (const [name, status] of everythingIn(directory)) {
    expect(status, name).toMatchObject({ uid: SERVER_UID, gid: SERVER_UID });
    expect(status.mode & 0o7000, name).toBe(0);
  }
}

const LEAVE_FILES =
  'mkdir -p a/b; echo root > made; chmod 4755 made; ln -s /etc/passwd a/l; chmod 700 a; touch a/b/c; chown -R 4242 a/b';

describeDocker('what a script of root leaves', { timeout: 120_000 }, () => {
  test.runIf(isRoot)('is the servers’ user’s before the server starts', async () => {
    await cleanNode();
    const panel = await makePanel();
    const { dataDir } = await connectAgent(panel, undefined, {}, docked);
    const server = specifyRoot(LEAVE_FILES);
    expect((await command(panel, 'install_server', server)).ok).toBe(true);
    const directory = join(dataDir, 'servers', server.serverUuid);
    expectAllOwned(directory);
    expect(lstatSync('/etc/passwd').uid).toBe(0);
    expect((await command(panel, 'start_server', server)).ok).toBe(true);
    await waitForLine(panel, server, 'wrote');
    expect(outputOf(panel, server)).toContain('root');
    expect(linesOf(panel, server).join()).not.toContain('ordinary user');
    await command(panel, 'delete_server', server);
    expect(existsSync(directory)).toBe(false);
  });

  test.runIf(isRoot)('is the servers’ user’s also when the script fails or is cancelled', async () => {
    await cleanNode();
    const panel = await makePanel();
    const { dataDir } = await connectAgent(panel, undefined, {}, docked);
    const failing = specifyRoot(`${LEAVE_FILES}; exit 3`);
    expect(await command(panel, 'install_server', failing)).toMatchObject({ code: 'install.failed' });
    expectAllOwned(join(dataDir, 'servers', failing.serverUuid));
    const cancelled = specifyRoot(`${LEAVE_FILES}; echo made; sleep 600`);
    const installing = command(panel, 'install_server', cancelled);
    await waitForLine(panel, cancelled, 'made');
    await command(panel, 'kill_server', cancelled);
    expect(await installing).toMatchObject({ code: 'command.cancelled' });
    expectAllOwned(join(dataDir, 'servers', cancelled.serverUuid));
    for (const server of [failing, cancelled]) await command(panel, 'delete_server', server);
  });

  test.runIf(isRoot)(
    'is put right by the next agent when the one that ran the script was killed',
    async () => {
      await cleanNode();
      const panel = await makePanel();
      const dataDir = makeDataDir();
      chmodSync(dataDir, 0o711);
      const killed = spawnAgent(panel, dataDir, { runtime: 'docker' });
      await panel.waitFor('health_report');
      const server = specifyRoot(`${LEAVE_FILES}; echo left; sleep 600`);
      panel.send({ ...server, type: 'install_server', commandId: 'install' });
      await waitForLine(panel, server, 'left');
      killed.kill('SIGKILL');
      await once(killed, 'exit');
      const directory = join(dataDir, 'servers', server.serverUuid);
      expect(lstatSync(join(directory, 'made')).uid).toBe(0);
      await connectAgent(panel, dataDir, {}, docked);
      await eventually(
        'the files are the servers’ user’s',
        () => lstatSync(join(directory, 'made')).uid === SERVER_UID,
      );
      expectAllOwned(directory);
      const left = await docker.listContainers({
        all: true,
        filters: { label: [`catalyst.server=${server.serverUuid}`] },
      });
      expect(left).toEqual([]);
      await command(panel, 'delete_server', server);
    },
  );
});
