import type { FileEntry, FileOperation, FileOutput } from '../../src/protocol/data-plane.js';
import { setAttributes } from './changing/attributes.js';
import { copyEntry, intoItself } from './changing/copying.js';
import type { Leftovers } from './changing/leftovers.js';
import { makeDirectory, makeIfMissing } from './changing/making.js';
import { removeEntry } from './changing/removal.js';
import { renameEntry } from './changing/renaming.js';
import { requireNothingPending } from './changing/target.js';
import { writeFile } from './changing/writing.js';
import type { FileCall, FileRequest, FileService } from './contract.js';
import { FileError } from './errors.js';
import type { Handles } from './handles/handles.js';
import { type Opened, openFile } from './handles/opening.js';
import { toEntry } from './listing/entry.js';
import { createLooking, describe, readContent, withThing } from './listing/looking.js';
import { searchFiles } from './listing/search.js';
import { type PathHandle, statusOf } from './paths/descriptors.js';
import { makeLink, readLink } from './paths/links.js';
import { openThing } from './paths/lookup.js';
import { parseEntryPath, parseFilePath, parsePath } from './paths/paths.js';
import { walkToParent, withPlace } from './paths/walk.js';
import { createRoom } from './quota/room.js';
import type { ServerFiles } from './server-files.js';
import type { Uploads } from './uploads/uploads.js';

export interface OperationsOptions {
  filesOf(serverUuid: string): ServerFiles;
  handles: Handles;
  leftovers: Leftovers;
  uploads: Uploads;
  announce(serverUuid: string, text: string): void;
}

export type Operations = {
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
    ...createLooking(filesOf),
    ...changingOperations(options),
    ...options.uploads.operations,
    'read-link': (serverUuid, request) => readLink(filesOf(serverUuid), request),
    'make-link': (serverUuid, request) => makeLink(filesOf(serverUuid), request),
    search: (serverUuid, request, call) => searchFiles(filesOf(serverUuid), request, call),
    async note(serverUuid, { text }) {
      filesOf(serverUuid);
      options.announce(serverUuid, text);
      return {};
    },
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
      return await withPlace(place, async (found) => {
        const writing = { ...files, ...request, ...call };
        return await leftovers.during(serverUuid, () => writeFile(found, source, writing));
      });
    },
  };
}

function changingOperations({ filesOf, leftovers }: OperationsOptions) {
  return {
    async 'make-directory'(serverUuid, { path, parents, mode }) {
      const files = filesOf(serverUuid);
      const names = parseEntryPath(path);
      const make = parents
        ? (parent: PathHandle, name: string) => makeIfMissing(parent, name, files)
        : undefined;
      return await withPlace(walkToParent(files.root, names, make), async ({ parent, name }) => {
        // Like those on the way, it may be there already.
        if (parents) await makeIfMissing(parent, name, { ...files, mode });
        const made = parents
          ? openThing(files, names, true)
          : makeDirectory(parent, name, { ...files, mode });
        return await withThing(made, (thing) => describeDirectory(thing, names));
      });
    },
    async rename(serverUuid, { from, to, replace }) {
      const { root, account, pending } = filesOf(serverUuid);
      const [source, target] = [parseEntryPath(from), parseEntryPath(to)];
      await withPlace(walkToParent(root, source), (place) =>
        withPlace(walkToParent(root, target), (newPlace) =>
          renameEntry(place, newPlace, { replace, account, pending }),
        ),
      );
      return {};
    },
    async copy(serverUuid, { from, to }, { signal }) {
      const files = filesOf(serverUuid);
      const [source, target] = [parsePath(from), parseEntryPath(to)];
      const isWithin = target.length > source.length && source.every((name, index) => target[index] === name);
      if (isWithin) throw intoItself();
      return await withThing(openThing(files, source, true), (thing) =>
        withPlace(walkToParent(files.root, target), async (place) => {
          await requireNothingPending(files.pending, place);
          const copy = () => copyEntry(thing, place, { ...files, signal });
          return { bytes: await leftovers.during(serverUuid, copy) };
        }),
      );
    },
    async remove(serverUuid, { path, recursive }, { signal }) {
      const files = filesOf(serverUuid);
      return await withPlace(walkToParent(files.root, parseEntryPath(path)), async (place) => ({
        removed: await removeEntry(place, { ...files, recursive, signal }),
      }));
    },
    async 'set-attributes'(serverUuid, { path, ...attributes }) {
      const files = filesOf(serverUuid);
      const names = parsePath(path);
      if (names.length === 0 && attributes.mode !== undefined) {
        throw new FileError('file.denied', 'The mode of the server’s own directory cannot be changed.');
      }
      return await withThing(openThing(files, names, false), async (thing) => {
        await setAttributes(thing, attributes, files);
        return await describe(thing, names);
      });
    },
  } satisfies Partial<Operations>;
}

async function openHandle(
  { filesOf, handles, leftovers }: OperationsOptions,
  serverUuid: string,
  request: FileRequest<'open'>,
  { connection, signal }: FileCall,
): Promise<FileOutput<'open'>> {
  const files = filesOf(serverUuid);
  const names = parseFilePath(request.path);
  const beginWriting = () => leftovers.begin(serverUuid);
  const opened = await openFile(names, request, { ...files, beginWriting });
  const entry = await entryOfOpened(opened, names);
  const handle = await handles.add({
    serverUuid,
    connection,
    name: entry.name,
    file: opened.handle,
    coming: opened.coming,
    account: files.account,
    room: createRoom(files.account),
    canRead: request.read,
    canWrite: request.write || request.append,
    isAppending: request.append,
  });
  // Its connection may have ended meanwhile, with all that was known to be its own.
  if (signal.aborted) await handles.close(handle, connection, { discard: true, isAbandoned: false });
  signal.throwIfAborted();
  return { handle, entry, isNew: opened.isNew };
}

async function entryOfOpened({ handle, coming }: Opened, names: string[]): Promise<FileEntry> {
  try {
    return toEntry(names.at(-1) ?? '', statusOf(handle));
  } catch (error) {
    try {
      await coming?.discard();
    } finally {
      await handle.close();
    }
    throw error;
  }
}

async function describeDirectory(thing: PathHandle, names: string[]): Promise<FileEntry> {
  const entry = await describe(thing, names);
  if (entry.kind !== 'directory')
    throw new FileError('file.not_directory', `"${entry.name}" is not a directory.`);
  return entry;
}
