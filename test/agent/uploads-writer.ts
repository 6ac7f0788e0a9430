import { Readable } from 'node:stream';
import { pino } from 'pino';
import { createFileService } from '../../agent/files/service.js';
import { countedBytes } from './counted-bytes.js';

/**
 * Sends an upload in two parts, as a process of its own that can be killed. When the first has been taken it says so on its
 * standard output; the second stops somewhere, but does not end.
 */
const [directory = '', stateDirectory = '', serverUuid = '', ...sizes] = process.argv.slice(2);
const [sizeBytes = 0, firstBytes = 0, lastBytes = 0] = sizes.map(Number);
const service = createFileService({
  find: () => ({ directory, limitBytes: null }),
  owner: null,
  announce() {},
  stateDirectory,
  log: pino({ level: 'silent' }),
});
const call = { signal: new AbortController().signal, connection: {} };

async function* withoutEnd() {
  yield* countedBytes(firstBytes, lastBytes);
  await new Promise(() => setInterval(() => {}, 1000));
}

const request = { path: 'd/file', replace: true, sizeBytes };
const { uploadId } = await service.operate(serverUuid, 'begin-upload', request, call);
const first = Readable.from(countedBytes(0, firstBytes));
const taken = await service.writeUpload(serverUuid, { uploadId, offset: 0 }, first, call);
process.stdout.write(`${JSON.stringify(taken)}\n`);
await service.writeUpload(serverUuid, { uploadId, offset: firstBytes }, Readable.from(withoutEnd()), call);
