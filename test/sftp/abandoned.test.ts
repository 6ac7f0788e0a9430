import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import ssh2 from 'ssh2';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import {
  addKey,
  closeHandle,
  connect,
  openFile,
  openSftp,
  type SftpStage,
  setSftpStage,
  writeAt,
} from './harness.js';

const { WRITE, CREAT, TRUNC } = ssh2.utils.sftp.OPEN_MODE;
const ANEW = WRITE | CREAT | TRUNC;

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

interface Lost {
  client: ssh2.Client;
  door: Awaited<ReturnType<SftpStage['openDoor']>>;
}

const ENDINGS: [string, (lost: Lost) => Promise<unknown> | unknown][] = [
  ['vanishes', ({ client }) => client.destroy()],
  ['leaves without closing it', ({ client }) => client.end()],
  ['does not ask for anything for long', () => {}],
  ['is sent away by a panel that shuts down', ({ door }) => door.close()],
];

test.each(ENDINGS)(
  'a whole file is not replaced by what came before of a client that %s',
  async (how, end) => {
    const server = await stage.makeServer();
    const inside = (...names: string[]) => path.join(server.directory, ...names);
    writeFileSync(inside('whole'), 'as before', { mode: 0o666 });
    const timings = { recordAfterMs: 50, ...(how.includes('for long') && { idleMaxMs: 3000 }) };
    const door = await stage.openDoor(timings);
    const client = await connect({ port: door.port, username: server.id, privateText });
    const lost = await openSftp(client);
    for (const name of ['/whole', '/part']) {
      await writeAt(lost, await openFile(lost, name, ANEW), 0, 'half of');
    }
    // He is back before anybody has noticed that he was gone.
    const again = await openSftp(await connect({ port: stage.port, username: server.id, privateText }));
    const handle = await openFile(again, '/whole', ANEW);
    await writeAt(again, handle, 0, 'all of it');
    await closeHandle(again, handle);
    await end({ client, door });
    await eventually('all is closed', () => readdirSync(inside()).sort().join() === 'part,whole');
    expect(readFileSync(inside('whole'), 'utf8')).toBe('all of it');
    expect(readFileSync(inside('part'), 'utf8')).toBe('half of');
    const { auditLog } = stage.panel.context.database.prisma;
    const of = { serverId: server.id, action: 'sftp.upload' };
    const records = await eventually('it is recorded', async () => {
      const found = await auditLog.findMany({ where: of });
      return found.some(({ metadata }) => JSON.stringify(metadata).includes('/part')) && found;
    });
    const ofHis = records.filter(({ metadata }) => JSON.stringify(metadata).includes('/part'));
    expect(ofHis.map(({ metadata }) => metadata)).toEqual([{ count: 1, bytes: 7, paths: ['/part'] }]);
  },
);
