import { Readable } from 'node:stream';
import { pino } from 'pino';
import { createFileService } from '../../agent/files/service.js';

/** Writes without end to a file of a server, as a process of its own that can be killed. */
const [directory = '', stateDirectory = '', serverUuid = ''] = process.argv.slice(2);
const service = createFileService({
  find: () => ({ directory, limitBytes: null }),
  owner: null,
  stateDirectory,
  log: pino({ level: 'silent' }),
});

function* endless() {
  for (;;) yield Buffer.alloc(64 * 1024, 'x');
}

const call = { signal: new AbortController().signal, connection: {} };
const request = { path: 'd/file', replace: true, sizeBytes: null };
await service.write(serverUuid, request, Readable.from(endless()), call);
