import { once, setMaxListeners } from 'node:events';
import { readdirSync, readlinkSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { pino } from 'pino';
import { onTestFinished } from 'vitest';
import type { FileCall, FileRequest } from '../../agent/files/contract.js';
import type { Beneath } from '../../agent/files/paths/openat2.js';
import type { PullSettings } from '../../agent/files/pulling/work.js';
import { createFileService } from '../../agent/files/service.js';
import type { FileOperation, FileOutput } from '../../src/protocol/data-plane.js';
import { makePlaces, type Places, removePlaces } from '../helpers/path-tricks.js';
import { isRoot, SERVER_UID } from './harness.js';

export const UUID = '11111111-1111-4111-8111-111111111111';
export const owner = isRoot ? { uid: SERVER_UID, gid: SERVER_UID } : null;

export interface FilesOptions {
  limitBytes?: number | null;
  handleIdleMs?: number;
  places?: Places;
  /** The kernel's way to files; without it they are walked to. */
  beneath?: Beneath | null;
  /** Without it, files are fetched from this machine. */
  pull?: PullSettings;
}

/** The real service over a directory of its own. */
export function openFiles(options: FilesOptions = {}) {
  const { limitBytes = null, handleIdleMs, places = makePlaces(), beneath = null } = options;
  const { pull = { allowedNetworks: ['127.0.0.1/32'] } } = options;
  const announced: string[] = [];
  const service = createFileService({
    find: (uuid) => (uuid === UUID ? { directory: places.server, limitBytes } : null),
    owner,
    stateDirectory: join(places.root, 'state'),
    announce: (_uuid, text) => announced.push(text),
    log: pino({ level: 'silent' }),
    beneath,
    pull,
    ...(handleIdleMs !== undefined && { handleIdleMs }),
  });
  onTestFinished(async () => {
    await service.close();
    removePlaces(places);
  });
  const { signal } = new AbortController();
  // All calls of a test share it.
  setMaxListeners(0, signal);
  const call: FileCall = { signal, connection: {} };
  return {
    service,
    announced,
    places,
    call,
    at: (path: string) => join(places.server, path),
    operate: <Name extends FileOperation>(
      name: Name,
      request: FileRequest<Name>,
    ): Promise<FileOutput<Name>> => service.operate(UUID, name, request, call),
    async read(path: string, range: { offset?: number; length?: number } = {}) {
      const { offset = 0, length = null } = range;
      const { stream } = await service.read(UUID, { path, offset, length }, call);
      return await buffer(stream);
    },
    write(
      path: string,
      content: string | Buffer | Readable,
      options: { replace?: boolean; sizeBytes?: number } = {},
    ) {
      const { replace = true, sizeBytes = null } = options;
      const source = content instanceof Readable ? content : Readable.from([Buffer.from(content)]);
      return service.write(UUID, { path, replace, sizeBytes }, source, call);
    },
    open(path: string, how: Partial<FileRequest<'open'>>) {
      const none = {
        read: false,
        write: false,
        append: false,
        create: false,
        exclusive: false,
        truncate: false,
        atClose: false,
      };
      return service.operate(UUID, 'open', { path, ...none, ...how }, call);
    },
  };
}

/** Files of a directory that this process has open. */
export function openBelow(directory: string): string[] {
  return readdirSync('/proc/self/fd').flatMap((number) => {
    try {
      const path = readlinkSync(`/proc/self/fd/${number}`);
      return path.startsWith(directory) ? [path] : [];
    } catch {
      // The one that is open for the listing itself.
      return [];
    }
  });
}

export type Files = ReturnType<typeof openFiles>;

/** Every operation that takes a path, on this one. What they answer, as text. */
export const EVERY_OPERATION: Record<string, (files: Files, path: string) => Promise<unknown>> = {
  list: ({ operate }, path) => operate('list', { path, limit: 100 }),
  stat: ({ operate }, path) => operate('stat', { path, followLinks: false }),
  'stat of the target': ({ operate }, path) => operate('stat', { path, followLinks: true }),
  'make-directory': ({ operate }, path) => operate('make-directory', { path, parents: false }),
  'make-directory with parents': ({ operate }, path) =>
    operate('make-directory', { path: `${path}/x/y`, parents: true }),
  'rename away': ({ operate }, path) => operate('rename', { from: path, to: 'renamed', replace: true }),
  'rename to': ({ operate }, path) => operate('rename', { from: 'd/file', to: path, replace: true }),
  'rename into': ({ operate }, path) =>
    operate('rename', { from: 'd/file', to: `${path}/x`, replace: false }),
  'copy from': ({ operate }, path) => operate('copy', { from: path, to: 'copied' }),
  'copy to': ({ operate }, path) => operate('copy', { from: 'd', to: path }),
  'copy into': ({ operate }, path) => operate('copy', { from: 'd/file', to: `${path}/x` }),
  remove: ({ operate }, path) => operate('remove', { path, recursive: false }),
  'remove with content': ({ operate }, path) => operate('remove', { path, recursive: true }),
  'set-attributes': ({ operate }, path) =>
    operate('set-attributes', { path, mode: 0o777, modifiedAtMs: 1000, sizeBytes: 3 }),
  'set the time': ({ operate }, path) => operate('set-attributes', { path, modifiedAtMs: 1000 }),
  read: async ({ read }, path) => String(await read(path, { length: 100 })),
  write: ({ write }, path) => write(path, 'written'),
  'write into': ({ write }, path) => write(`${path}/x/new`, 'written'),
  'open for reading': async (files, path) => {
    const { handle } = await files.open(path, { read: true });
    const { stream } = await files.service.readHandle(handle, { offset: 0, length: 100 }, files.call);
    return String(await buffer(stream));
  },
  'open for writing': async (files, path) => {
    const { handle } = await files.open(path, { write: true, create: true, truncate: true });
    return await files.service.writeHandle(
      handle,
      { offset: 0 },
      Readable.from([Buffer.from('x')]),
      files.call,
    );
  },
  search: async ({ operate }, path) =>
    JSON.stringify(await operate('search', { path, text: '*', limit: 100 })),
  'read-link': ({ operate }, path) => operate('read-link', { path }),
  'make-link at': ({ operate }, path) => operate('make-link', { path, target: 'd/file' }),
  'make-link to': ({ operate }, path) => operate('make-link', { path: 'made', target: path }),
  'upload in parts': (files, path) => uploadInParts(files, path),
  'upload in parts into': (files, path) => uploadInParts(files, `${path}/x/new`),
  pull: (files, path) => pullSomething(files, path),
  'pull into': (files, path) => pullSomething(files, `${path}/`),
  'write at close': async (files, path) => {
    const how = { write: true, create: true, truncate: true, atClose: true };
    const { handle } = await files.open(path, how);
    await files.service.writeHandle(handle, { offset: 0 }, Readable.from([Buffer.from('x')]), files.call);
    return await files.service.operateHandle(
      handle,
      'close',
      { discard: false, isAbandoned: false },
      files.call,
    );
  },
};

async function uploadInParts({ operate, service, call }: Files, path: string) {
  const { uploadId } = await operate('begin-upload', { path, replace: true, sizeBytes: 1 });
  await service.writeUpload(UUID, { uploadId, offset: 0 }, Readable.from([Buffer.from('x')]), call);
  return await operate('finish-upload', { uploadId });
}

async function pullSomething({ service, call }: Files, path: string) {
  const server = createServer((_request, response) => response.end('pulled')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const request = { url: `http://127.0.0.1:${port}/name`, path, replace: true, sizeBytesMax: 100 };
  try {
    return await service.work(UUID, 'pull', request, { ...call, report() {} });
  } finally {
    server.close();
  }
}
