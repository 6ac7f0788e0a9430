import { randomUUID } from 'node:crypto';
import { readdirSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { WAITING_PREFIX } from '../../src/protocol/data-plane.js';
import { command, connectAgent, eventually, makePanel, specify } from './harness.js';

const HOUR_MS = 3600_000;

test('what a killed panel has left waiting for its name goes after two hours, and nothing else does', async () => {
  const panel = await makePanel();
  const { dataDir, stop } = await connectAgent(panel);
  const server = specify('true');
  expect(await command(panel, 'install_server', server)).toMatchObject({ ok: true });
  await stop();
  const directory = join(dataDir, 'servers', server.serverUuid);
  function leave(name: string, ageMs: number): string {
    const atSeconds = (Date.now() - ageMs) / 1000;
    writeFileSync(join(directory, name), 'x');
    utimesSync(join(directory, name), atSeconds, atSeconds);
    return name;
  }
  const old = leave(WAITING_PREFIX + randomUUID(), 2.1 * HOUR_MS);
  const kept = [
    leave(WAITING_PREFIX + randomUUID(), 1.9 * HOUR_MS),
    leave(`${WAITING_PREFIX}list.txt`, 99 * HOUR_MS),
    leave('world.dat', 99 * HOUR_MS),
  ];
  await connectAgent(panel, dataDir);
  await eventually('it has gone', () => !readdirSync(directory).includes(old));
  expect(readdirSync(directory)).toEqual(expect.arrayContaining(kept));
});
