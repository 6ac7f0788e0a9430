import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { loadConfig } from '../../src/config.js';
import { createLog } from '../../src/http/log.js';
import { createReleasers } from '../../src/lib/releasers.js';
import { startPanel } from '../../src/panel.js';
import { createTestDatabase } from '../helpers/database.js';
import { freePort } from '../helpers/free-port.js';

async function start(sftpPort: number) {
  const database = await createTestDatabase();
  const dataDir = mkdtempSync(path.join(tmpdir(), 'catalyst-sftp-start-'));
  const log = createLog({ level: 'silent' });
  const releasers = createReleasers(log);
  onTestFinished(async () => {
    await releasers.releaseAll();
    await database.drop();
    rmSync(dataDir, { recursive: true, force: true });
  });
  const config = loadConfig({
    DATA_DIR: dataDir,
    DATABASE_URL: database.url,
    PORT: '0',
    SFTP_PORT: String(sftpPort),
    LOCAL_AGENT: 'false',
    ADMIN_PASSWORD: 'a perfectly good password',
  });
  return startPanel({ config, log, releasers, signal: new AbortController().signal });
}

async function sftpState(url: string): Promise<unknown> {
  const send = (address: string, init: RequestInit) => fetch(`${url}/api/${address}`, init);
  const login = await send('auth/login', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ email: 'admin@catalyst.local', password: 'a perfectly good password' }),
  });
  const { data } = (await login.json()) as { data: { token: string } };
  const health = await send('admin/health', { headers: { authorization: `Bearer ${data.token}` } });
  const body = (await health.json()) as { data: { services: { sftpServer: unknown } } };
  return body.data.services.sftpServer;
}

test('the panel speaks SSH on its port for SFTP, and says so', async () => {
  const port = await freePort();
  const { url } = await start(port);
  const socket = connect(port, '127.0.0.1');
  onTestFinished(() => void socket.destroy());
  const [greeting] = (await once(socket, 'data')) as [Buffer];
  expect(greeting.toString()).toMatch(/^SSH-2\.0-Catalyst\r\n/);
  expect(await sftpState(url)).toBe('running');
});

test('port 0 means no SFTP', async () => {
  const { url } = await start(0);
  expect(await sftpState(url)).toBe('disabled');
});

test('a port that is in use is named with the setting to change', async () => {
  const taken = createServer().listen(0, '127.0.0.1');
  onTestFinished(() => void taken.close());
  await once(taken, 'listening');
  const address = taken.address();
  if (typeof address !== 'object' || address === null) throw new Error('no port');
  await expect(start(address.port)).rejects.toThrow(/in use.*SFTP_PORT/);
});
