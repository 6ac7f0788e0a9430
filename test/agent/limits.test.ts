import { chmodSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import { findCgroupParents } from '../../agent/runtime/cgroups.js';
import { createServerDirectories } from '../../agent/servers/directories.js';
import {
  connectAgent,
  isRoot,
  makePanel,
  outputOf,
  run,
  SERVER_UID,
  specify,
  waitForLine,
} from './harness.js';

const controllers = findCgroupParents()?.controllers ?? [];

test.runIf(controllers.includes('memory'))(
  'a server that takes more memory than it has is killed and says so',
  async () => {
    const panel = await makePanel();
    await connectAgent(panel);
    const script = `const held = []; setInterval(() => held.push(Buffer.alloc(16e6, 1)), 5);`;
    const server = specify('', { command: ['node', '-e', script], allocatedMemoryMb: 128 });
    await run(panel, server);
    const crashed = await panel.waitFor('server_state_update', ({ state }) => state === 'crashed');
    expect(crashed).toMatchObject({
      exitCode: 137,
      oomKilled: true,
      reason: 'ran out of memory and was killed',
    });
  },
);

test.runIf(controllers.includes('pids'))('a server that forks without end is held', async () => {
  const panel = await makePanel();
  await connectAgent(panel);
  const server = specify('i=0; while [ $i -lt 1500 ]; do sleep 60 & i=$((i+1)); done; echo all started', {
    command: ['sh', '-c', 'i=0; while [ $i -lt 1500 ]; do sleep 60 & i=$((i+1)); done; echo all started'],
    allocatedMemoryMb: 2048,
  });
  await run(panel, server);
  await panel.waitFor('server_state_update', ({ state }) => state === 'crashed');
  expect(outputOf(panel, server).join()).toContain('fork');
  expect(outputOf(panel, server)).not.toContain('all started');
});

test('the agent and its supervisors are small', async () => {
  const panel = await makePanel();
  const { dataDir } = await connectAgent(panel);
  const server = specify('echo up; exec sleep 60');
  await run(panel, server);
  await waitForLine(panel, server, 'up');
  const { pid } = JSON.parse(readFileSync(join(dataDir, 'shims', server.serverUuid, 'shim.json'), 'utf8'));
  const resident =
    Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) / 1024;
  expect(resident).toBeLessThan(70);
});

test.runIf(isRoot)(
  'where the user of the servers cannot reach the data directory their files go elsewhere',
  async () => {
    const hidden = mkdtempSync(join(tmpdir(), 'catalyst-hidden-'));
    const reachable = mkdtempSync(join(tmpdir(), 'catalyst-reachable-'));
    onTestFinished(() => {
      for (const path of [hidden, reachable]) rmSync(path, { recursive: true, force: true });
    });
    const dataDir = mkdtempSync(join(hidden, 'data-'));
    chmodSync(hidden, 0o700);
    const options = {
      dataDir,
      uid: SERVER_UID,
      gid: SERVER_UID,
      log: pino({ level: 'silent' }),
      unreachableRoot: reachable,
    };
    const uuid = crypto.randomUUID();
    const path = createServerDirectories(options).prepare(uuid);
    expect(path.startsWith(reachable)).toBe(true);
    expect(existsSync(path)).toBe(true);
    // It stays there when the way is cleared: the files must not get out of sight.
    chmodSync(hidden, 0o755);
    expect(createServerDirectories(options).pathOf(uuid)).toBe(path);
    // Nothing is left there when the last server is removed.
    await createServerDirectories(options).remove(uuid);
    expect(readdirSync(reachable)).toEqual([]);
  },
);

test.each(['', '..', '../../etc', 'a/b', `${crypto.randomUUID()}/..`, crypto.randomUUID().toUpperCase()])(
  'no directory is made of %j',
  (uuid) => {
    const dataDir = mkdtempSync(join(tmpdir(), 'catalyst-names-'));
    onTestFinished(() => rmSync(dataDir, { recursive: true, force: true }));
    const directories = createServerDirectories({
      dataDir,
      uid: null,
      gid: null,
      log: pino({ level: 'silent' }),
    });
    expect(() => directories.prepare(uuid)).toThrow('Not the UUID');
  },
);
