import type { Attributes } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Caller, FileRight } from './caller.js';
import { createFileQueue } from './file-queue.js';
import type { Flow } from './flow.js';
import type { OpenFile } from './handles.js';
import type { KnownEntries } from './known.js';
import { readOpening } from './open-modes.js';
import { resolvePath } from './paths.js';
import { failure } from './status.js';

export interface FileOpener {
  open(path: string, flags: number, attributes: Partial<Attributes>): Promise<OpenFile>;
  /** A handle is of the node it was opened on; the server may have moved. */
  requireSameNode(nodeId: string): (right: FileRight) => Promise<void>;
}

export function createFileOpener({
  caller,
  files,
  flow,
  known,
  signal,
}: {
  caller: Caller;
  files: FilePlane;
  flow: Flow;
  known: KnownEntries;
  signal: AbortSignal;
}): FileOpener {
  const requireSameNode = (nodeId: string) => async (right: FileRight) => {
    const server = await caller.authorise(right);
    if (server.nodeId !== nodeId) throw failure('The server is on another node now: open the file again.');
  };

  return {
    requireSameNode,
    async open(given, flags, attributes) {
      const opening = readOpening(flags, attributes);
      const path = resolvePath(given);
      if (opening.read) await caller.authorise('file.read');
      const { nodeId, uuid } = await caller.authorise(opening.write ? 'file.write' : 'file.read');
      signal.throwIfAborted();
      const call = opening.write ? {} : { signal };
      const opened = await files.operate(nodeId, uuid, 'open', { path, ...opening }, call);
      const comesAtClose = opening.atClose ?? false;
      const onChange = () => {
        flow.hasChanged(!comesAtClose);
        known.forget(path);
      };
      if (opening.truncate || comesAtClose) onChange();
      const client = files.handle(nodeId, opened.handle);
      if (!opening.write) known.hold(path, opened.entry);
      const queue = createFileQueue({
        client,
        flow,
        signal,
        onChange,
        authorise: requireSameNode(nodeId),
      });
      return {
        kind: 'file',
        path,
        nodeId,
        client,
        queue,
        canRead: opening.read,
        canWrite: opening.write,
        comesAtClose,
        isChanged: opening.truncate || opening.exclusive || opened.isNew === true,
        writtenBytes: 0,
        onChange,
      };
    },
  };
}
