import type { z } from 'zod';
import {
  contentPath,
  FileEntry,
  type FileOperation,
  FileOperations,
  type FileOutput,
  FilePath,
  operationPath,
} from '../protocol/data-plane.js';
import { bodyOf, sendBody } from './data-plane-bodies.js';
import { readAnswer, requireOk } from './data-plane-call.js';
import { createHandleClient } from './data-plane-handles.js';
import type { DataLinks } from './data-plane-links.js';
import { Count, check, enter, readEntry, readLength, take, within } from './data-plane-requests.js';
import type { FilePlane } from './files.js';

const OPERATION_TIMEOUT_MS = 60_000;
/** Of everything below a directory. */
const TREE_OPERATION_TIMEOUT_MS = 10 * 60_000;
/** For the first bytes of a file. */
const FIRST_BYTES_TIMEOUT_MS = 60_000;
const TREE_OPERATIONS: ReadonlySet<FileOperation> = new Set(['copy', 'remove']);

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
      const timeoutMs = TREE_OPERATIONS.has(name) ? TREE_OPERATION_TIMEOUT_MS : OPERATION_TIMEOUT_MS;
      const call = await enter(link, { serverUuid, kind: 'operation', request });
      call.stream.end(body);
      const output = take(OPERATIONS[name].output, await within(call, timeoutMs, readAnswer(call)));
      if ('handle' in output) link.handles.set(output.handle, serverUuid);
      return output;
    },

    async download(nodeId, serverUuid, { path, offset = 0, length }, { signal } = {}) {
      const query = new URLSearchParams({ path: check(FilePath, path), offset: `${check(Count, offset)}` });
      if (length !== undefined) query.set('length', `${check(Count, length)}`);
      const link = await links.reach(nodeId, signal);
      const request = { method: 'GET', path: contentPath(serverUuid, query), signal } as const;
      const call = await enter(link, { serverUuid, kind: 'transfer', request });
      const headers = await within(call, FIRST_BYTES_TIMEOUT_MS, requireOk(call));
      const entry = readEntry(call, headers);
      return { entry, body: bodyOf(call, readLength(call, headers)) };
    },

    async upload(nodeId, serverUuid, { path, replace, sizeBytes }, body, { signal } = {}) {
      try {
        const query = new URLSearchParams({ path: check(FilePath, path), replace: `${replace}` });
        const headers = sizeBytes === undefined ? {} : { 'x-size': `${check(Count, sizeBytes)}` };
        const link = await links.reach(nodeId, signal);
        const request = {
          method: 'PUT',
          path: contentPath(serverUuid, query),
          headers,
          hasTrailers: true,
          signal,
        } as const;
        const call = await enter(link, { serverUuid, kind: 'transfer', request });
        sendBody(call, body);
        try {
          return take(FileEntry, await readAnswer(call));
        } finally {
          // What was refused is not sent to its end.
          call.stream.destroy();
        }
      } catch (error) {
        body.destroy();
        throw error;
      }
    },

    handle: (nodeId, handle) => createHandleClient({ links, nodeId, handle }),
  };
}
