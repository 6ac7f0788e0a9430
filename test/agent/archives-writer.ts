import { pino } from 'pino';
import { createFileService } from '../../agent/files/service.js';

/** Packs or unpacks, as a process of its own that can be killed. */
const [directory = '', stateDirectory = '', serverUuid = '', name = '', request = ''] = process.argv.slice(2);
const service = createFileService({
  find: () => ({ directory, limitBytes: null }),
  owner: null,
  announce() {},
  stateDirectory,
  log: pino({ level: 'silent' }),
});
const call = { signal: new AbortController().signal, connection: {}, report() {} };
if (name === 'compress') await service.work(serverUuid, name, JSON.parse(request), call);
else await service.work(serverUuid, 'extract', JSON.parse(request), call);
