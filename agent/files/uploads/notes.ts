import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { Count, FilePath, Uuid } from '../../../src/protocol/data-plane.js';
import { isErrorCode } from '../../atomic-file.js';
import { UUID_PATTERN } from '../../runtime/runtime.js';
import { ignoreMissing } from '../changing/temporary.js';

/** What is known of an upload whose bytes are in a hidden file of the server's directory. */
const UploadNote = z.object({
  uploadId: Uuid,
  path: FilePath,
  replace: z.boolean(),
  sizeBytes: Count,
  /** So many bytes from the beginning have been with the disk when this was noted. There may be more. */
  receivedBytes: Count,
  /** Of the hidden file: whatever else gets its name is not taken for it. */
  inode: z.string().regex(/^\d+$/),
  expiresAtMs: z.number(),
});
export type UploadNote = z.infer<typeof UploadNote>;

/** Notes in the agent's own directory, one file each: whoever kills the agent or the machine, what was noted is true. */
export interface Notes {
  /** Null: there is none, or none that can be read. */
  read(serverUuid: string, uploadId: string): Promise<UploadNote | null>;
  write(serverUuid: string, note: UploadNote): Promise<void>;
  remove(serverUuid: string, uploadId: string): Promise<void>;
  /** Of one server, in no order. */
  uploads(serverUuid: string): Promise<string[]>;
  /** Those that ever had an upload since they were forgotten last. */
  servers(): Promise<string[]>;
  forget(serverUuid: string): Promise<void>;
}

const SUFFIX = '.json';

export function createNotes(directory: string): Notes {
  const directoryOf = (serverUuid: string) => join(directory, checked(serverUuid));
  const pathOf = (serverUuid: string, uploadId: string) =>
    join(directoryOf(serverUuid), `${checked(uploadId)}${SUFFIX}`);

  return {
    async read(serverUuid, uploadId) {
      if (!UUID_PATTERN.test(uploadId)) return null;
      const text = await readFile(pathOf(serverUuid, uploadId), 'utf8').catch(ignoreMissing);
      return text === undefined ? null : parseNote(text);
    },
    async write(serverUuid, note) {
      await mkdir(directoryOf(serverUuid), { recursive: true, mode: 0o700 });
      await replaceFile(pathOf(serverUuid, note.uploadId), JSON.stringify(note));
    },
    remove: (serverUuid, uploadId) => rm(pathOf(serverUuid, uploadId), { force: true }),
    async uploads(serverUuid) {
      const names = await namesIn(directoryOf(serverUuid));
      const ids = names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
      return ids.filter((id) => UUID_PATTERN.test(id));
    },
    async servers() {
      return (await namesIn(directory)).filter((name) => UUID_PATTERN.test(name));
    },
    forget: (serverUuid) => rm(directoryOf(serverUuid), { recursive: true, force: true }),
  };
}

function checked(uuid: string): string {
  if (!UUID_PATTERN.test(uuid)) throw new Error('Not the UUID of a server or an upload.');
  return uuid;
}

function parseNote(text: string): UploadNote | null {
  try {
    return UploadNote.parse(JSON.parse(text));
  } catch {
    return null;
  }
}

async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if (isErrorCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Not by a call that waits: with a disk that is busy writing uploads it would hold up everything else. */
async function replaceFile(path: string, content: string): Promise<void> {
  const temporaryPath = `${path}.tmp`;
  try {
    const file = await open(temporaryPath, 'w', 0o600);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporaryPath, path);
  } catch (error) {
    await rm(temporaryPath, { force: true });
    throw error;
  }
}
