import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { loadHostKeys } from '../../src/sftp/host-keys.js';
import { startSftp } from '../../src/sftp/server.js';
import { eventually } from '../helpers/condition.js';
import { startPanelWithDoors } from '../helpers/doors.js';
import { startFileNode } from '../helpers/file-node.js';
import { insertServer } from '../helpers/servers.js';
import { startTcpProxy, type TcpProxy } from '../helpers/tcp-proxy.js';
import {
  addKey,
  ask,
  closeHandle,
  connect,
  openFile,
  openSftp,
  readAt,
  runSftp,
  statusOf,
  writeAt,
} from './harness.js';

const { OPEN_MODE, STATUS_CODE } = ssh2.utils.sftp;
const WRITE_ANEW = OPEN_MODE.WRITE | OPEN_MODE.CREAT | OPEN_MODE.TRUNC;

let close: () => Promise<void>;
let cable: TcpProxy;
let server: { id: string; directory: string };
let login: { port: number; username: string; privateText: string };
let isReachable: () => boolean;
let recordedUploads: () => Promise<unknown[]>;

beforeAll(async () => {
  const panel = await startPanelWithDoors();
  cable = await startTcpProxy({ host: '127.0.0.1', port: panel.port });
  const node = await startFileNode({ ...panel, port: cable.port });
  const hostKeys = loadHostKeys(panel.config.DATA_DIR);
  const sftp = await startSftp({ context: panel.context, hostKeys, host: '127.0.0.1', port: 0 });
  const owner = await panel.createUser();
  const row = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  server = { id: row.id, directory: await node.install(row) };
  const { privateText } = await addKey({ panel }, owner);
  login = { port: sftp.port, username: server.id, privateText };
  recordedUploads = async () => {
    const where = { serverId: server.id, action: 'sftp.upload' };
    const rows = await panel.context.database.prisma.auditLog.findMany({ where, orderBy: { id: 'asc' } });
    return rows.map(({ metadata }) => metadata);
  };
  isReachable = () => panel.context.filePlane.isReachable(node.id);
  close = async () => {
    await sftp.close();
    await node.close();
    await cable.close();
    await panel.close();
  };
});

afterAll(() => close());

async function lose() {
  await cable.cut();
  await eventually('the node is lost', () => !isReachable());
}

async function find() {
  await cable.restore();
  await eventually('the node is back', isReachable);
}

test('a node that goes away in the middle fails the transfers with a sentence, and the session goes on after', async () => {
  writeFileSync(path.join(server.directory, 'large'), Buffer.alloc(1024 * 1024, 'x'), { mode: 0o666 });
  writeFileSync(path.join(server.directory, 'old'), 'as before', { mode: 0o666 });
  const sftp = await openSftp(await connect(login));
  const reading = await openFile(sftp, '/large', OPEN_MODE.READ);
  const writing = await openFile(sftp, '/old', WRITE_ANEW);
  await writeAt(sftp, writing, 0, 'half');
  let reads = 0;
  const download = (async () => {
    for (;;) {
      await readAt(sftp, reading, 0, 32_768);
      reads += 1;
    }
  })().catch((error: unknown) => error as Error & { code: number });
  await eventually('it reads', () => reads > 10);
  await lose();
  const failed = await download;
  expect(failed.code).toBe(STATUS_CODE.FAILURE);
  expect(failed.message).toMatch(/node/);
  expect(await statusOf(ask((done) => sftp.stat('/large', done)))).toBe(STATUS_CODE.FAILURE);
  expect(await statusOf(writeAt(sftp, writing, 4, 'more'))).toBe(STATUS_CODE.FAILURE);

  await find();
  expect(await statusOf(readAt(sftp, reading, 0, 10))).toBe(STATUS_CODE.FAILURE);
  expect(await statusOf(closeHandle(sftp, writing))).toBe(STATUS_CODE.FAILURE);
  await statusOf(closeHandle(sftp, reading));
  const again = await openFile(sftp, '/large', OPEN_MODE.READ);
  expect((await readAt(sftp, again, 0, 5)).toString()).toBe('xxxxx');
  const anew = await openFile(sftp, '/old', WRITE_ANEW);
  await writeAt(sftp, anew, 0, 'whole');
  await closeHandle(sftp, anew);
  expect(readFileSync(path.join(server.directory, 'old'), 'utf8')).toBe('whole');
});

test('an upload whose end the node does not confirm is recorded as one that may have come', async () => {
  const client = await connect(login);
  const sftp = await openSftp(client);
  await closeHandle(sftp, await openFile(sftp, '/confirmed', WRITE_ANEW));
  const closing = await openFile(sftp, '/closing', WRITE_ANEW);
  const cutOff = await openFile(sftp, '/cut-off', WRITE_ANEW);
  for (const handle of [closing, cutOff]) await writeAt(sftp, handle, 0, 'half');
  cable.holdBack();
  const status = statusOf(closeHandle(sftp, closing));
  await eventually('it has come', () => existsSync(path.join(server.directory, 'closing')));
  await lose();
  expect(await status).toBe(STATUS_CODE.FAILURE);
  // Of this one the node has heard nothing: it cannot have come.
  expect(await statusOf(closeHandle(sftp, cutOff))).toBe(STATUS_CODE.FAILURE);
  client.end();
  const ofClosing = { count: 1, paths: ['/closing'], bytes: 4, isConfirmed: false };
  await eventually('it is recorded', async () =>
    (await recordedUploads()).some((one) => isDeepStrictEqual(one, ofClosing)),
  );
  const recorded = await recordedUploads();
  expect(recorded).toContainEqual({ count: 1, paths: ['/confirmed'], bytes: 0 });
  expect(JSON.stringify(recorded)).not.toContain('/cut-off');
  await find();
  expect(existsSync(path.join(server.directory, 'cut-off'))).toBe(false);
});

test('while the node is away one can sign in, and is told so', async () => {
  await lose();
  const result = await runSftp(login, ['ls /']);
  expect(result.code).toBe(1);
  expect(result.stderr).toMatch(/The node is offline/);
  await find();
  expect(await runSftp(login, ['ls /'])).toMatchObject({ code: 0 });
});
