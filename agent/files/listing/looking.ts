import { constants } from 'node:fs';
import type { FileEntry } from '../../../src/protocol/data-plane.js';
import type { Content, FileCall, FileService } from '../contract.js';
import type { Operations } from '../operations.js';
import { openDirectory, type PathHandle, pathOf } from '../paths/descriptors.js';
import { openThing } from '../paths/lookup.js';
import { parseFilePath, parsePath } from '../paths/paths.js';
import { openRegular } from '../paths/regular.js';
import { lengthWithin, stopWith, streamOf } from '../reading.js';
import type { ServerFiles } from '../server-files.js';
import { toEntry } from './entry.js';
import { listDirectory } from './listed-page.js';

/** What changes nothing. */
export function createLooking(filesOf: (serverUuid: string) => ServerFiles) {
  return {
    async list(serverUuid, { path, after, limit }, { signal }) {
      const files = filesOf(serverUuid);
      return await withThing(openThing(files, parsePath(path), true), async (thing) => {
        const directory = await openDirectory(`${pathOf(thing)}/.`);
        try {
          return await listDirectory(directory, { after, limit, pending: files.pending, signal });
        } finally {
          await directory.close();
        }
      });
    },
    async stat(serverUuid, { path, followLinks }) {
      const names = parsePath(path);
      const thing = openThing(filesOf(serverUuid), names, followLinks);
      return await withThing(thing, (found) => describe(found, names));
    },
    async usage(serverUuid) {
      const { account, limitBytes } = filesOf(serverUuid);
      return { usedBytes: await account.usedBytes(), limitBytes };
    },
  } satisfies Partial<Operations>;
}

export async function readContent(
  files: ServerFiles,
  request: Parameters<FileService['read']>[1],
  { signal }: FileCall,
): Promise<Content & { entry: FileEntry }> {
  const names = parseFilePath(request.path);
  const file = await withThing(openThing(files, names, true), (thing) =>
    openRegular(thing, constants.O_RDONLY, files.owner),
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

export async function describe(thing: PathHandle, names: string[]): Promise<FileEntry> {
  return toEntry(names.at(-1) ?? '/', await thing.stat());
}

export async function withThing<Result>(
  opened: Promise<PathHandle>,
  use: (thing: PathHandle) => Promise<Result>,
): Promise<Result> {
  const thing = await opened;
  try {
    return await use(thing);
  } finally {
    await thing.close();
  }
}
