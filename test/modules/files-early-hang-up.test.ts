import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect } from 'node:net';
import { afterAll, beforeAll, test, vi } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import { createFileRequests, type FileRequests, FORM_TYPE } from '../helpers/file-requests.js';
import type { TestUser } from '../helpers/panel.js';

const OCTETS = 'application/octet-stream';
const SIZE_BYTES = 1000;
const TIMES = 5;
/** Longer than those who hold something are looked at again. */
const QUIET_MS = 1200;

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let requests: FileRequests;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel);
  owner = await panel.createUser();
  const { id: templateId } = await panel.createTemplate();
  requests = createFileRequests(panel, { node, owner, templateId });
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

/** Announces a body and is gone before anybody looks for it. */
async function announceAndGo(line: string, type: string): Promise<void> {
  const socket = connect(panel.port, '127.0.0.1');
  socket.on('error', () => {});
  const fields = [`Authorization: Bearer ${owner.token}`, `Content-Type: ${type}`, 'Content-Length: 1000'];
  socket.write([`${line} HTTP/1.1`, 'Host: panel', ...fields, '\r\n'].join('\r\n'), () =>
    socket.resetAndDestroy(),
  );
  await once(socket, 'close');
}

test('a part whose client is gone before it is read gives its place back, and the upload', async () => {
  const server = await requests.makeServer();
  const begun = await requests.post(server, 'uploads', { path: '/big.bin', sizeBytes: SIZE_BYTES });
  const route = `uploads/${begun.body.data.uploadId}`;
  for (let times = 0; times < TIMES; times += 1) {
    await announceAndGo(`PATCH /api/servers/${server.id}/files/${route}?offset=0`, OCTETS);
  }
  const whole = randomBytes(SIZE_BYTES);
  await eventually('the upload goes on', async () => {
    const answer = await requests.ask(server, route, whole, { method: 'PATCH', query: { offset: '0' } });
    return answer.status === 200;
  });
  await eventually('all places are free', () =>
    panel.context.dataLinks.find(node.id)?.slotsOf(server.uuid).isEmpty(),
  );
});

test('a form whose client is gone before it is read is not waited for', async () => {
  const server = await requests.makeServer();
  const looks = vi.spyOn(panel.context.database.pool, 'query');
  try {
    for (let times = 0; times < TIMES; times += 1) {
      await announceAndGo(`POST /api/servers/${server.id}/files/upload?path=/`, FORM_TYPE);
    }
    // Whoever is waited for is asked about, every 800 ms.
    let quietSinceMs = Date.now();
    await eventually('nobody is asked about any more', () => {
      const last = looks.mock.calls.some(([query]) => JSON.stringify(query).includes('held-rights'));
      looks.mockClear();
      if (last) quietSinceMs = Date.now();
      return Date.now() - quietSinceMs > QUIET_MS;
    });
  } finally {
    looks.mockRestore();
  }
});
