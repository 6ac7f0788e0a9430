import ssh2, { type Attributes, type SFTPWrapper } from 'ssh2';
import { attributesOf, longName } from './attributes.js';
import type { Reply } from './channel.js';
import type { Handles, OpenFile } from './handles.js';
import { changesOf, type PathOperations, requireSize } from './path-operations.js';
import { resolvePath } from './paths.js';
import { endOfFile, unsupported } from './status.js';
import { createTurnstile } from './turnstile.js';

const { OPEN_MODE } = ssh2.utils.sftp;

/** What only looks at files goes side by side, so much at once. */
const LOOKS_AT_ONCE = 16;
/** Who asks for more in one READ is given less, as the protocol has it. */
const READ_MAX_BYTES = 255 * 1024;
/** What was written is brought to the disk first. */
const CLOSE_TIMEOUT_MS = 60_000;

export interface RequestsOptions {
  sftp: SFTPWrapper;
  handles: Handles;
  paths: PathOperations;
  signal: AbortSignal;
  answer(id: number, work: () => Promise<Reply>, dataBytes?: number): void;
}

/** Every request of the protocol, and what it is answered with. */
export function attachRequests(options: RequestsOptions): void {
  attachPathRequests(options);
  attachDirectoryRequests(options);
  attachFileRequests(options);
}

function attachPathRequests({ sftp, paths, answer, handles, signal }: RequestsOptions): void {
  const pass = createTurnstile(LOOKS_AT_ONCE);
  const look = (id: number, work: () => Promise<Reply>) => answer(id, () => pass(true, work));
  const change = (id: number, work: () => Promise<void>) =>
    answer(id, () => pass(false, () => work().then(() => undefined)));

  sftp.on('OPEN', (id, path, flags) => {
    const isLook = (flags & ~OPEN_MODE.READ) === 0;
    const open = async () => {
      const file = await paths.open(path, flags);
      // What the node opened after the end is nobody's.
      if (signal.aborted) await closeFile(file);
      signal.throwIfAborted();
      return file;
    };
    answer(id, async () => {
      const handle = await pass(isLook, () => handles.add(open));
      return () => sftp.handle(id, handle);
    });
  });
  sftp.on('STAT', (id, path) => {
    look(id, async () => {
      const entry = await paths.stat(path, true);
      return () => sftp.attrs(id, attributesOf(entry));
    });
  });
  sftp.on('LSTAT', (id, path) => {
    look(id, async () => {
      const entry = await paths.stat(path, false);
      return () => sftp.attrs(id, attributesOf(entry));
    });
  });
  sftp.on('REALPATH', (id, path) => {
    look(id, async () => {
      const filename = resolvePath(path);
      return () => sendNames(sftp, id, [{ filename, longname: filename, attrs: {} }]);
    });
  });
  sftp.on('SETSTAT', (id, path, attributes: Partial<Attributes>) =>
    change(id, () => paths.setAttributes(path, attributes)),
  );
  sftp.on('MKDIR', (id, path) => change(id, () => paths.makeDirectory(path)));
  sftp.on('RMDIR', (id, path) => change(id, () => paths.removeDirectory(path)));
  sftp.on('REMOVE', (id, path) => change(id, () => paths.removeFile(path)));
  sftp.on('RENAME', (id, from, to) => change(id, () => paths.rename(from, to)));
  const refuse = (id: number) => answer(id, () => Promise.reject(unsupported('There are no links here.')));
  sftp.on('READLINK', refuse);
  sftp.on('SYMLINK', refuse);
  sftp.on('EXTENDED', (id, name) =>
    answer(id, () => Promise.reject(unsupported(`There is no ${JSON.stringify(name)} here.`))),
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

function attachFileRequests({ sftp, paths, answer, handles, signal }: RequestsOptions): void {
  sftp.on('READ', (id, handle, offset, length) => {
    answer(id, async () => {
      const { queue, canRead } = handles.file(handle);
      if (!canRead) throw unsupported('The file is not open for reading.');
      requireSize(offset + length);
      const data = await queue.read(offset, Math.min(length, READ_MAX_BYTES));
      if (data.length === 0) throw endOfFile();
      return () => sftp.data(id, data);
    });
  });
  sftp.on('WRITE', (id, handle, offset, data) => {
    const write = async () => {
      const { queue, canWrite } = handles.file(handle);
      if (!canWrite) throw unsupported('The file is not open for writing.');
      requireSize(offset + data.length);
      await queue.write(offset, data);
      return undefined;
    };
    answer(id, write, data.length);
  });
  sftp.on('CLOSE', (id, handle) => {
    answer(id, async () => {
      const taken = handles.take(handle);
      if (taken.kind === 'file') await closeFile(taken);
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
      const { queue, client, nodeId } = handles.file(handle);
      const changes = changesOf(attributes);
      await queue.run(async () => {
        await paths.requireSameNode(nodeId)('file.write');
        if (Object.keys(changes).length > 0) await client.operate('set-attributes', changes, { signal });
      });
      return undefined;
    });
  });
}

/** After all that was asked of it before. */
export async function closeFile({ queue, client }: OpenFile): Promise<void> {
  await queue.run(() => client.operate('close', {}, { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) }));
}

/** The types want all attributes; the protocol lets us leave out what nobody has asked for. */
function sendNames(
  sftp: SFTPWrapper,
  id: number,
  names: { filename: string; longname: string; attrs: Partial<Attributes> }[],
): void {
  sftp.name(id, names as Parameters<SFTPWrapper['name']>[1]);
}
