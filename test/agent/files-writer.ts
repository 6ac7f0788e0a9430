import { Readable } from 'node:stream';
import { pino } from 'pino';
import { createFileService } from '../../agent/files/service.js';

/** Writes files of a server without end, as a process of its own that can be killed. */
const [directory = '', stateDirectory = '', serverUuid = '', way = 'write'] = process.argv.slice(2);
const service = createFileService({
  find: () => ({ directory, limitBytes: null }),
  owner: null,
  announce() {},
  stateDirectory,
  log: pino({ level: 'silent' }),
});
const call = { signal: new AbortController().signal, connection: {} };
const PIECE_BYTES = 64 * 1024;

function* endless() {
  for (;;) yield Buffer.alloc(PIECE_BYTES, 'x');
}

async function open(path: string): Promise<string> {
  const flags = { read: false, write: true, append: false, create: true, exclusive: false, truncate: true };
  const request = { path, ...flags, atClose: true };
  return (await service.operate(serverUuid, 'open', request, call)).handle;
}

/** One file after the other, in one piece of one letter each. */
async function writeMany(prefix: string): Promise<void> {
  for (let turn = 0; ; turn += 1) {
    const handle = await open(`d/${prefix}-${turn % 5}`);
    const piece = Buffer.alloc(PIECE_BYTES, 'abcdefghijklmnopqrstuvwxyz'.charAt(turn % 26));
    await service.writeHandle(handle, { offset: 0 }, Readable.from([piece]), call);
    await service.operateHandle(handle, 'close', { discard: false, isAbandoned: false }, call);
  }
}

if (way === 'write') {
  const request = { path: 'd/file', replace: true, sizeBytes: null };
  await service.write(serverUuid, request, Readable.from(endless()), call);
} else if (way === 'at close') {
  await open('d/fresh');
  const handle = await open('d/file');
  await service.writeHandle(handle, { offset: 0 }, Readable.from(endless()), call);
} else await Promise.all(['one', 'two', 'three'].map(writeMany));
