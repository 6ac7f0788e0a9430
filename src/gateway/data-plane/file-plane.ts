import type { Readable } from 'node:stream';
import type { z } from 'zod';
import {
  contentPath,
  FileEntry,
  type FileOperation,
  FileOperations,
  type FileOutput,
  FilePath,
  operationPath,
  PartialUpload,
  Uuid,
  uploadPath,
} from '../../protocol/data-plane.js';
import type { FileCallOptions, FilePlane } from '../files.js';
import { bodyOf, sendBody } from './bodies.js';
import { readAnswer, requireOk } from './call.js';
import { createHandleClient } from './handles.js';
import type { DataLinks } from './links.js';
import { Count, check, enter, readEntry, readLength, take, within } from './requests.js';
import { createWorkCalls } from './works.js';

const OPERATION_TIMEOUT_MS = 60_000;
/** Of everything below a directory, or in a file. */
const LONG_OPERATION_TIMEOUT_MS = 10 * 60_000;
/** For the first bytes of a file. */
const FIRST_BYTES_TIMEOUT_MS = 60_000;
const LONG_OPERATIONS: ReadonlySet<FileOperation> = new Set(['copy', 'remove', 'finish-upload']);

/** The same, so that each operation's name still says what its output is. */
const OPERATIONS: { [Name in FileOperation]: { input: z.ZodType; output: z.ZodType<FileOutput<Name>> } } =
  FileOperations;

/** The panel's end of the data plane. What agents answer is checked like anything that comes from outside. */
export function createFilePlane(links: DataLinks): FilePlane {
  return {
    isReachable: (nodeId) => links.find(nodeId) !== undefined,

    async operate(nodeId, serverUuid, name, input, { signal } = {}) {
      const body = JSON.stringify(check(OPERATIONS[name].input, input));
      const link = await links.reach(nodeId, signal);
      const request = { method: 'POST', path: operationPath(serverUuid, name), signal } as const;
      const timeoutMs = LONG_OPERATIONS.has(name) ? LONG_OPERATION_TIMEOUT_MS : OPERATION_TIMEOUT_MS;
      const call = await enter(link, { serverUuid, kind: 'operation', request });
      call.stream.end(body);
      const output = take(OPERATIONS[name].output, await within(call, timeoutMs, readAnswer(call)));
      if ('handle' in output) link.handles.set(output.handle, serverUuid);
      return output;
    },

    async download(nodeId, serverUuid, { path, offset = 0, length }, { signal } = {}) {
      const query = new URLSearchParams({
        path: check(FilePath, path, 'path'),
        offset: `${check(Count, offset, 'offset')}`,
      });
      if (length !== undefined) query.set('length', `${check(Count, length, 'length')}`);
      const link = await links.reach(nodeId, signal);
      const request = { method: 'GET', path: contentPath(serverUuid, query), signal } as const;
      const call = await enter(link, { serverUuid, kind: 'transfer', request });
      const headers = await within(call, FIRST_BYTES_TIMEOUT_MS, requireOk(call));
      const entry = readEntry(call, headers);
      return { entry, body: bodyOf(call, readLength(call, headers, length)) };
    },

    async upload(nodeId, serverUuid, { path, replace, sizeBytes }, body, options) {
      const place = () => {
        const query = new URLSearchParams({ path: check(FilePath, path, 'path'), replace: `${replace}` });
        const headers =
          sizeBytes === undefined ? {} : { 'x-size': `${check(Count, sizeBytes, 'sizeBytes')}` };
        return { path: contentPath(serverUuid, query), headers };
      };
      return take(FileEntry, await send({ links, nodeId, serverUuid, place, body, ...options }));
    },

    async uploadPart(nodeId, serverUuid, { uploadId, offset }, body, options) {
      const place = () => {
        const query = new URLSearchParams({ offset: `${check(Count, offset, 'offset')}` });
        return { path: uploadPath(serverUuid, check(Uuid, uploadId, 'uploadId'), query) };
      };
      return take(PartialUpload, await send({ links, nodeId, serverUuid, place, body, ...options }));
    },

    work: createWorkCalls(links),
    handle: (nodeId, handle) => createHandleClient({ links, nodeId, handle }),
  };
}

interface SendRequest extends FileCallOptions {
  links: DataLinks;
  nodeId: string;
  serverUuid: string;
  /** Where to; throws when the request is not valid. */
  place(): { path: string; headers?: Record<string, string> };
  body: Readable;
}

/** Sends a body and answers what the agent answers. Whatever goes wrong, the body is destroyed. */
async function send({ links, nodeId, serverUuid, place, body, signal }: SendRequest): Promise<unknown> {
  try {
    const request = { method: 'PUT', ...place(), hasTrailers: true, signal } as const;
    const link = await links.reach(nodeId, signal);
    const call = await enter(link, { serverUuid, kind: 'transfer', request });
    sendBody(call, body);
    try {
      return await readAnswer(call);
    } finally {
      // What was refused is not sent to its end.
      call.stream.destroy();
    }
  } catch (error) {
    body.destroy();
    throw error;
  }
}
