import { once } from 'node:events';
import { expect, test } from 'vitest';
import { WebSocket } from 'ws';
import { createApiKey } from '../helpers/accounts.js';
import { eventually } from '../helpers/condition.js';
import { startPanelWithDoors } from '../helpers/doors.js';

/** Where the panel thinks that a client of its socket is, who claims to come from somewhere. */
async function seenAddress(trustProxy: string, forwardedFor: string): Promise<string> {
  const panel = await startPanelWithDoors({ settings: { TRUST_PROXY: trustProxy } });
  const user = await panel.createUser();
  const { id, key } = await createApiKey(panel, user.token);
  const socket = new WebSocket(`ws://127.0.0.1:${panel.port}/ws?token=${key}`, {
    headers: { 'x-forwarded-for': forwardedFor },
  });
  await once(socket, 'open');
  const { prisma } = panel.context.database;
  const address = await eventually(
    'the use of the key',
    async () => (await prisma.apiKey.findUniqueOrThrow({ where: { id } })).lastUsedIp,
  );
  socket.terminate();
  await panel.close();
  return address;
}

test.each([
  ['nobody', 'false', '127.0.0.1'],
  ['everybody', 'true', '198.51.100.1'],
  ['this machine and a network', '127.0.0.1, 10.0.0.0/8', '203.0.113.5'],
  ['somebody else', '192.0.2.0/24', '127.0.0.1'],
])('behind a proxy the address is what those say who are trusted: %s', async (_, trusted, seen) => {
  expect(await seenAddress(trusted, '198.51.100.1, 203.0.113.5, 10.1.2.3')).toBe(seen);
});
