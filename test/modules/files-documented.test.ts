import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, onTestFinished, test } from 'vitest';
import { startPanelWithDoors } from '../helpers/doors.js';
import { startFileNode } from '../helpers/file-node.js';
import { createFileRequests } from '../helpers/file-requests.js';

const MB = 1024 * 1024;
const read = (name: string) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8');

test('the documented upload in parts does what it says', async () => {
  const [, script = ''] = /```sh\n(.*?)```/s.exec(read('docs/files.md')) ?? [];
  const [functionLine = ''] = /^api\(\).*$/m.exec(read('README.md')) ?? [];
  const panel = await startPanelWithDoors({ settings: { FILE_UPLOAD_MAX_MB: '1' } });
  onTestFinished(() => panel.close());
  const node = await startFileNode(panel);
  onTestFinished(() => node.close());
  const owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  const server = await createFileRequests(panel, { node, owner, templateId }).makeServer();
  const cwd = mkdtempSync(join(tmpdir(), 'catalyst-documented-'));
  onTestFinished(() => rmSync(cwd, { recursive: true }));
  const content = randomBytes(2 * MB + 7);
  writeFileSync(join(cwd, 'world.tar.gz'), content);
  expect(script).toContain('head -c 64M');
  const env = {
    ...process.env,
    TOKEN: owner.token,
    PANEL: `http://127.0.0.1:${panel.port}`,
    SERVER: server.id,
  };
  const lines = ['set -e', functionLine, script.replace('64M', '1M')].join('\n');
  const { stdout } = await promisify(execFile)('bash', ['-c', lines], { cwd, env });
  expect(stdout.match(/"receivedBytes":\d+/g)).toEqual(
    [MB, 2 * MB, content.length].map((bytes) => `"receivedBytes":${bytes}`),
  );
  expect(readFileSync(server.inside('world.tar.gz')).equals(content)).toBe(true);
});
