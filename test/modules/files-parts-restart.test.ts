import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { expect, onTestFinished, test } from 'vitest';
import { attachSockets } from '../../src/upgrade.js';
import { eventually } from '../helpers/condition.js';
import { createTestDatabase } from '../helpers/database.js';
import { startPanelWithDoors } from '../helpers/doors.js';
import { startFileNode } from '../helpers/file-node.js';
import { createFileRequests, openIn } from '../helpers/file-requests.js';
import { startPanel } from '../helpers/panel.js';

const MB = 1024 * 1024;

test('an upload that one panel began and another goes on with is whole', async () => {
  const database = await createTestDatabase();
  onTestFinished(() => database.drop());
  const first = await startPanelWithDoors({ database });
  const node = await startFileNode(first);
  const owner = await first.createUser();
  const { id: templateId } = await first.createTemplate();
  const requests = createFileRequests(first, { node, owner, templateId });
  const server = await requests.makeServer();
  const content = randomBytes(3 * MB);
  const begun = await requests.post(server, 'uploads', { path: '/a.bin', sizeBytes: content.length });
  const { uploadId } = begun.body.data;
  const headers = { 'content-type': 'application/octet-stream', 'content-length': content.length };
  const query = { offset: '0' };
  const call = requests.send(server, `uploads/${uploadId}`, { method: 'PATCH', headers, query });
  call.on('error', () => {});
  call.write(content.subarray(0, 2 * MB));
  await eventually('some is on the disk', () =>
    openIn(server.directory).some((path) => statSync(path).size > 0),
  );

  first.app.server.closeAllConnections();
  await first.close();
  // At the same address: the agent comes back by itself, and so does the client.
  const second = await startPanel({ database });
  const sockets = attachSockets(second.app.server, second.context);
  await second.app.listen({ port: first.port, host: '127.0.0.1' });
  onTestFinished(async () => {
    await node.close();
    await sockets.close();
    await second.close();
  });

  const offset = await eventually('it is known how much has come', async () => {
    const { status, body } = await requests.ask(server, `uploads/${uploadId}`);
    return status === 200 && (body.data.receivedBytes as number);
  });
  const part = { method: 'PATCH', query: { offset: String(offset) } };
  expect((await requests.ask(server, `uploads/${uploadId}`, content.subarray(offset), part)).status).toBe(
    200,
  );
  const sha256 = createHash('sha256').update(content).digest('hex');
  expect((await requests.post(server, `uploads/${uploadId}/finish`, { sha256 })).status).toBe(200);
  expect(readFileSync(server.inside('a.bin')).equals(content)).toBe(true);
});
