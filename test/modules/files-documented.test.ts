import { execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { startPanelWithDoors } from '../helpers/doors.js';
import { startFileNode } from '../helpers/file-node.js';
import { createFileRequests } from '../helpers/file-requests.js';
import { startTcpProxy } from '../helpers/tcp-proxy.js';

const MB = 1024 * 1024;
const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

/** The script of the documentation, for a file that goes in parts of 1 MB, and what it takes to run it. */
async function prepare(sizeBytes = 2 * MB + 7) {
  const [, script = ''] = /```sh\n(.*?)```/s.exec(read('docs/files.md')) ?? [];
  const [functionLine = ''] = /^api\(\).*$/m.exec(read('README.md')) ?? [];
  expect(script).toContain('head -c 64M');
  const panel = await startPanelWithDoors({ settings: { FILE_UPLOAD_MAX_MB: '1' } });
  onTestFinished(() => panel.close());
  const node = await startFileNode(panel);
  onTestFinished(() => node.close());
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  const server = await createFileRequests(panel, { node, owner, templateId }).makeServer();
  const cable = await startTcpProxy({ host: '127.0.0.1', port: panel.port });
  onTestFinished(() => cable.close());
  const cwd = mkdtempSync(join(tmpdir(), 'catalyst-documented-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  const content = randomBytes(sizeBytes);
  writeFileSync(join(cwd, 'world.tar.gz'), content);
  const env = {
    ...process.env,
    TOKEN: owner.token,
    PANEL: `http://127.0.0.1:${cable.port}`,
    SERVER: server.id,
  };
  const lines = ['set -e', functionLine, script.replace('64M', '1M')].join('\n');
  return { lines, options: { cwd, env }, content, server, cable };
}

test('the documented upload in parts does what it says', async () => {
  const { lines, options, content, server } = await prepare();
  const { stdout } = await promisify(execFile)('bash', ['-c', lines], options);
  expect(stdout.match(/"receivedBytes":\d+/g)).toEqual(
    [MB, 2 * MB, content.length].map((bytes) => `"receivedBytes":${bytes}`),
  );
  expect(readFileSync(server.inside('world.tar.gz')).equals(content)).toBe(true);
});

test('the documented upload in parts waits for a panel that is away', async () => {
  const { lines, options, content, server, cable } = await prepare(12 * MB);
  const eager = lines.replaceAll('sleep 5', 'echo asleep; sleep 0.05');
  const child = spawn('bash', ['-c', eager], { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  const ended = once(child, 'close');
  let said = '';
  child.stdout.on('data', (text: Buffer) => {
    said += text;
  });
  await eventually('a part has come', () => said.includes('"receivedBytes"'));
  await cable.cut();
  await eventually('it waits', () => said.split('asleep').length > 5);
  await cable.restore();
  expect(await ended).toEqual([0, null]);
  expect(readFileSync(server.inside('world.tar.gz')).equals(content)).toBe(true);
});
