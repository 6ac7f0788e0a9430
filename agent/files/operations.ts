import { constants } from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import type { FileEntry, FileOperation, FileOutput } from '../../src/protocol/data-plane.js';
import { setAttributes } from './attributes.js';
import { copyEntry, intoItself } from './copying.js';
import { openDirectory, pathOf } from './descriptors.js';
import { toEntry } from './entry.js';
import { FileError } from './errors.js';
import type { Handles } from './handles.js';
import type { Leftovers } from './leftovers.js';
import { listDirectory } from './listing.js';
import { makeDirectory, makeIfMissing } from './making.js';
import { openFile } from './opening.js';
import { parseEntryPath, parseFilePath, parsePath } from './paths.js';
import { lengthWithin, stopWith, streamOf } from './reading.js';
import { openRegular } from './regular.js';
import { removeEntry } from './removal.js';
import { renameEntry } from './renaming.js';
import type { ServerFiles } from './server-files.js';
import type { Content, FileCall, FileRequest, FileService } from './service.js';
import { walkToParent, walkToThing, withPlace } from './walk.js';
import { writeFile } from './writing.js';

export interface OperationsOptions {
  filesOf(serverUuid: string): ServerFiles;
  handles: Handles;
  leftovers: Leftovers;
}

type Operations = {
  [Name in FileOperation]: (
    serverUuid: string,
    request: FileRequest<Name>,
    call: FileCall,
  ) => Promise<FileOutput<Name>>;
};

export function createOperations(
  options: OperationsOptions,
): Pick<FileService, 'operate' | 'read' | 'write'> {
  const { filesOf, leftovers } = options;
  const operations: Operations = {
    ...lookingOperations(options),
    ...changingOperations(options),
    open: (serverUuid, request, call) => openHandle(options, serverUuid, request, call),
  };
  return {
    operate: async (serverUuid, name, request, call) => await operations[name](serverUuid, request, call),
    read: (serverUuid, request, call) => readContent(filesOf(serverUuid), request, call),
    async write(serverUuid, request, source, call) {
      const files = filesOf(serverUuid);
      const place = walkToParent(files.root, parseFilePath(request.path), (parent, name) =>
        makeIfMissing(parent, name, files),
      );
      return await withPlace(place, (found) =>
        leftovers.during(serverUuid, () => writeFile(found, source, { ...files, ...request, ...call })),
      );
    },
  };
}

function lookingOperations({ filesOf }: OperationsOptions) {
  return {
    async list(serverUuid, { path, after, limit }, { signal }) {
      const { root } = filesOf(serverUuid);
      return await withThing(walkToThing(root, parsePath(path), true), async (thing) => {
        const directory = await openDirectory(`${pathOf(thing)}/.`);
        try {
          return await listDirectory(directory, { after, limit, signal });
        } finally {
          await directory.close();
        }
      });
    },
    async stat(serverUuid, { path, followLinks }) {
      const { root } = filesOf(serverUuid);
      const names = parsePath(path);
      return await withThing(walkToThing(root, names, followLinks), (thing) => describe(thing, names));
    },
    async usage(serverUuid) {
      const { account, limitBytes } = filesOf(serverUuid);
      return { usedBytes: await account.usedBytes(), limitBytes };
    },
  } satisfies Partial<Operations>;
}

function changingOperations({ filesOf, leftovers }: OperationsOptions) {
  return {
    async 'make-directory'(serverUuid, { path, parents }) {
      const files = filesOf(serverUuid);
      const names = parseEntryPath(path);
      const make = parents
        ? (parent: FileHandle, name: string) => makeIfMissing(parent, name, files)
        : undefined;
      return await withPlace(walkToParent(files.root, names, make), async ({ parent, name }) => {
        const made = await makeDirectory(parent, name, files);
        return await withThing(Promise.resolve(made), (thing) => describe(thing, names));
      });
    },
    async rename(serverUuid, { from, to, replace }) {
      const { root, account } = filesOf(serverUuid);
      const [source, target] = [parseEntryPath(from), parseEntryPath(to)];
      await withPlace(walkToParent(root, source), (place) =>
        withPlace(walkToParent(root, target), (newPlace) =>
          renameEntry(place, newPlace, { replace, account }),
        ),
      );
      return {};
    },
    async copy(serverUuid, { from, to }, { signal }) {
      const files = filesOf(serverUuid);
      const [source, target] = [parsePath(from), parseEntryPath(to)];
      const isWithin = target.length > source.length && source.every((name, index) => target[index] === name);
      if (isWithin) throw intoItself();
      return await withThing(walkToThing(files.root, source, true), (thing) =>
        withPlace(walkToParent(files.root, target), async (place) => ({
          bytes: await leftovers.during(serverUuid, () => copyEntry(thing, place, { ...files, signal })),
        })),
      );
    },
    async remove(serverUuid, { path, recursive }, { signal }) {
      const { root, account } = filesOf(serverUuid);
      return await withPlace(walkToParent(root, parseEntryPath(path)), async (place) => ({
        removed: await removeEntry(place, { recursive, account, signal }),
      }));
    },
    async 'set-attributes'(serverUuid, { path, ...attributes }) {
      const files = filesOf(serverUuid);
      const names = parsePath(path);
      if (names.length === 0 && attributes.mode !== undefined) {
        throw new FileError('file.denied', 'The mode of the server’s own directory cannot be changed.');
      }
      return await withThing(walkToThing(files.root, names, false), async (thing) => {
        await setAttributes(thing, attributes, files);
        return await describe(thing, names);
      });
    },
  } satisfies Partial<Operations>;
}

async function openHandle(
  { filesOf, handles }: OperationsOptions,
  serverUuid: string,
  request: FileRequest<'open'>,
  { connection }: FileCall,
): Promise<FileOutput<'open'>> {
  const files = filesOf(serverUuid);
  const names = parseFilePath(request.path);
  const file = await openFile(names, request, files);
  const entry = toEntry(names.at(-1) ?? '', await file.stat());
  const canWrite = request.write || request.append;
  const handle = await handles.add({
    ...{ serverUuid, connection, file, canWrite },
    name: entry.name,
    account: files.account,
    canRead: request.read,
    isAppending: request.append,
  });
  return { handle, entry };
}

async function readContent(
  { root, owner }: ServerFiles,
  request: Parameters<FileService['read']>[1],
  { signal }: FileCall,
): Promise<Content & { entry: FileEntry }> {
  const names = parseFilePath(request.path);
  const file = await withThing(walkToThing(root, names, true), (thing) =>
    openRegular(thing, constants.O_RDONLY, owner),
  );
  try {
    const entry = toEntry(names.at(-1) ?? '', await file.stat());
    const sizeBytes = lengthWithin(entry.sizeBytes, request);
    const stream = streamOf(file, { offset: request.offset, sizeBytes }, () => file.close());
    return { entry, sizeBytes, stream: stopWith(stream, signal) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function describe(thing: FileHandle, names: string[]): Promise<FileEntry> {
  return toEntry(names.at(-1) ?? '/', await thing.stat());
}

async function withThing<Result>(
  opened: Promise<FileHandle>,
  use: (thing: FileHandle) => Promise<Result>,
): Promise<Result> {
  const thing = await opened;
  try {
    return await use(thing);
  } finally {
    await thing.close();
  }
}
