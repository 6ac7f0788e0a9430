import type { Attributes, SFTPWrapper } from 'ssh2';
import { attributesOf, longName } from './attributes.js';
import type { Changes } from './changes.js';
import type { Reply } from './channel.js';
import { closeFile, discardFile } from './closing.js';
import { sendData } from './data-answer.js';
import type { Flow } from './flow.js';
import type { Handles } from './handles.js';
import { isReadOnly } from './open-modes.js';
import { changesOf, type PathOperations, requireSize } from './path-operations.js';
import { resolvePath } from './paths.js';
import { createReadWriteLock } from './read-write-lock.js';
import { endOfFile, unsupported } from './status.js';

/** What only looks at files goes side by side, so much at once. */
const READS_AT_ONCE = 16;
/** Who asks for more in one READ is given less, as the protocol has it. */
const READ_MAX_BYTES = 255 * 1024;
const NAME_SHOWN_MAX_LENGTH = 100;

export interface RequestsOptions {
  sftp: SFTPWrapper;
  handles: Handles;
  paths: PathOperations;
  changes: Changes;
  flow: Pick<Flow, 'hasChanged'>;
  /** The client names what a new link leads to first. */
  hasReversedLinks: boolean;
  signal: AbortSignal;
  answer(id: number, work: () => Promise<Reply>, dataBytes?: number): void;
}

/** Every request of the protocol, and what it is answered with. */
export function attachRequests(options: RequestsOptions): void {
  attachPathRequests(options);
  attachDirectoryRequests(options);
  attachFileRequests(options);
}

function attachPathRequests(options: RequestsOptions): void {
  const { sftp, paths, answer, handles, signal, hasReversedLinks } = options;
  const lock = createReadWriteLock(READS_AT_ONCE);
  const look = (id: number, text: string, work: () => Promise<Reply>) =>
    answer(id, () => lock.shared(work), text.length);
  const change = (id: number, text: string, work: () => Promise<void>) =>
    answer(id, () => lock.exclusive(() => work().then(() => undefined)), text.length);

  sftp.on('OPEN', (id, path, flags, attributes: Partial<Attributes>) => {
    const open = async () => {
      const file = await paths.open(path, flags, attributes);
      // What the node opened after the end is nobody's.
      if (signal.aborted) await discardFile(file, options);
      signal.throwIfAborted();
      return file;
    };
    const work = async () => {
      const enter = isReadOnly(flags) ? lock.shared : lock.exclusive;
      const handle = await enter(() => handles.add(open));
      return () => sftp.handle(id, handle);
    };
    answer(id, work, path.length);
  });
  sftp.on('STAT', (id, path) => {
    look(id, path, async () => {
      const entry = await paths.stat(path, true);
      return () => sftp.attrs(id, attributesOf(entry));
    });
  });
  sftp.on('LSTAT', (id, path) => {
    look(id, path, async () => {
      const entry = await paths.stat(path, false);
      return () => sftp.attrs(id, attributesOf(entry));
    });
  });
  sftp.on('REALPATH', (id, path) => {
    look(id, path, async () => {
      const filename = resolvePath(path);
      return () => sendNames(sftp, id, [{ filename, longname: filename, attrs: {} }]);
    });
  });
  sftp.on('SETSTAT', (id, path, attributes: Partial<Attributes>) =>
    change(id, path, () => paths.setAttributes(path, attributes)),
  );
  sftp.on('MKDIR', (id, path, attributes: Partial<Attributes>) =>
    change(id, path, () => paths.makeDirectory(path, attributes)),
  );
  sftp.on('RMDIR', (id, path) => change(id, path, () => paths.removeDirectory(path)));
  sftp.on('REMOVE', (id, path) => change(id, path, () => paths.removeFile(path)));
  sftp.on('RENAME', (id, from, to) => change(id, from + to, () => paths.rename(from, to)));
  sftp.on('READLINK', (id, path) => {
    look(id, path, async () => {
      const filename = await paths.readLink(path);
      return () => sendNames(sftp, id, [{ filename, longname: filename, attrs: {} }]);
    });
  });
  sftp.on('SYMLINK', (id, first, second) => {
    const [path, target] = hasReversedLinks ? [second, first] : [first, second];
    change(id, path + target, () => paths.makeLink(path, target));
  });
  sftp.on('EXTENDED', (id, name) =>
    answer(id, () =>
      Promise.reject(
        unsupported(`There is no ${JSON.stringify(name.slice(0, NAME_SHOWN_MAX_LENGTH))} here.`),
      ),
    ),
  );
}

function attachDirectoryRequests({ sftp, paths, answer, handles }: RequestsOptions): void {
  sftp.on('OPENDIR', (id, path) => {
    answer(id, async () => {
      const handle = await handles.add(() => paths.openDirectory(path));
      return () => sftp.handle(id, handle);
    });
  });
  sftp.on('READDIR', (id, handle) => {
    answer(id, async () => {
      const entries = await paths.readDirectory(handles.directory(handle));
      if (entries.length === 0) throw endOfFile();
      const now = new Date();
      const names = entries.map((entry) => ({
        filename: entry.name,
        longname: longName(entry, now),
        attrs: attributesOf(entry),
      }));
      return () => sendNames(sftp, id, names);
    });
  });
}

function attachFileRequests(options: RequestsOptions): void {
  const { sftp, paths, answer, handles, flow, signal } = options;
  sftp.on('READ', (id, handle, offset, length) => {
    answer(id, async () => {
      const { queue, canRead } = handles.file(handle);
      if (!canRead) throw unsupported('The file is not open for reading.');
      requireSize(offset + length);
      const pieces = await queue.read(offset, Math.min(length, READ_MAX_BYTES));
      if (pieces.length === 0) throw endOfFile();
      return () => sendData(sftp, id, pieces);
    });
  });
  sftp.on('WRITE', (id, handle, offset, data) => {
    const write = async () => {
      const file = handles.file(handle);
      if (!file.canWrite) throw unsupported('The file is not open for writing.');
      requireSize(offset + data.length);
      await file.queue.write(offset, data).catch((error: unknown) => {
        // It may have been done when the answer was waited for no longer.
        file.isChanged ||= signal.aborted;
        throw error;
      });
      file.isChanged = true;
      file.writtenBytes += data.length;
      return undefined;
    };
    answer(id, write, data.length);
  });
  sftp.on('CLOSE', (id, handle) => {
    answer(id, async () => {
      const taken = handles.take(handle);
      if (taken.kind === 'file') await handles.leave(taken, closeFile(taken, options));
      return undefined;
    });
  });
  sftp.on('FSTAT', (id, handle) => {
    answer(id, async () => {
      const { queue, client, nodeId } = handles.file(handle);
      const entry = await queue.run(async () => {
        await paths.requireSameNode(nodeId)('file.read');
        return client.operate('stat', {}, { signal });
      });
      return () => sftp.attrs(id, attributesOf(entry));
    });
  });
  sftp.on('FSETSTAT', (id, handle, attributes: Partial<Attributes>) => {
    answer(id, async () => {
      const file = handles.file(handle);
      const wanted = changesOf(attributes);
      await file.queue.run(async () => {
        await paths.requireSameNode(file.nodeId)('file.write');
        signal.throwIfAborted();
        // As any change it is seen to its end, whoever hangs up.
        if (Object.keys(wanted).length > 0) await file.client.operate('set-attributes', wanted);
        flow.hasChanged();
        file.isChanged ||= wanted.sizeBytes !== undefined;
      });
      return undefined;
    });
  });
}

/** The types want all attributes; the protocol lets us leave out what nobody has asked for. */
function sendNames(
  sftp: SFTPWrapper,
  id: number,
  names: { filename: string; longname: string; attrs: Partial<Attributes> }[],
): void {
  sftp.name(id, names as Parameters<SFTPWrapper['name']>[1]);
}
