import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import type { FileRequest } from '../../agent/files/contract.js';
import { type FilesOptions, openFiles } from './files-harness.js';

/** With what is asked of files that are under their names only when they are closed. */
export function openAtClose(options: FilesOptions = {}) {
  const files = openFiles(options);
  const { service, call, operate, at } = files;
  return {
    ...files,
    async begin(path: string, how: Partial<FileRequest<'open'>> = {}) {
      const atClose = { write: true, create: true, truncate: true, atClose: true };
      return (await files.open(path, { ...atClose, ...how })).handle;
    },
    put: (handle: string, content: string | Buffer, offset = 0) =>
      service.writeHandle(handle, { offset }, Readable.from([Buffer.from(content)]), call),
    async get(handle: string) {
      const { stream } = await service.readHandle(handle, { offset: 0, length: null }, call);
      return String(await buffer(stream));
    },
    close: (handle: string, discard = false) =>
      service.operateHandle(handle, 'close', { discard, isAbandoned: false }, call),
    abandon: (handle: string) =>
      service.operateHandle(handle, 'close', { discard: false, isAbandoned: true }, call),
    async names(path = '/') {
      const { entries } = await operate('list', { path, limit: 1000 });
      return entries.map(({ name }) => name);
    },
    /** What is really there: each file with its content, each directory with a slash. */
    onDisk: (path = '.') => describeTree(at(path)),
  };
}

export type AtCloseFiles = ReturnType<typeof openAtClose>;

export function describeTree(directory: string, prefix = ''): Record<string, string> {
  const found: Record<string, string> = {};
  for (const name of readdirSync(directory).sort()) {
    const path = join(directory, name);
    if (lstatSync(path).isDirectory()) {
      found[`${prefix}${name}/`] = '';
      Object.assign(found, describeTree(path, `${prefix}${name}/`));
    } else found[prefix + name] = readFileSync(path, 'utf8');
  }
  return found;
}
