import type { Step } from './messages.js';
import type { Thread } from './state.js';

function throwIfStopped({ control, data }: Thread): void {
  if (Atomics.load(control, 0) === data.stopped) throw new Error('nobody wants it any more');
}

function entryIn(directory: number, name: string): Buffer {
  return Buffer.from(`/proc/self/fd/${directory}/${name}`, 'latin1');
}

/** Its descriptor, as a place; those of others may be closed for it. */
function directoryOf(thread: Thread, directory: number): number {
  const file = thread.directories.get(directory)?.file ?? null;
  if (file !== null) return file;
  if (thread.openCount >= thread.data.directoriesOpenMax) closeDirectories(thread);
  return reach(thread, directory);
}

function reach(thread: Thread, directory: number): number {
  const known = thread.directories.get(directory);
  if (known === undefined) return thread.data.root;
  if (known.file !== null) return known.file;
  const at = entryIn(reach(thread, known.parent), known.name);
  known.file = thread.fs.openSync(at, thread.data.flags.directory);
  thread.openCount += 1;
  return known.file;
}

function closeDirectories(thread: Thread): void {
  for (const known of thread.directories.values()) {
    const { file } = known;
    known.file = null;
    if (file !== null) thread.fs.closeSync(file);
  }
  thread.openCount = 0;
}

/** Until the end nobody but us may enter it. */
function makeDirectory(thread: Thread, { directory, parent, name }: Step & { makes: 'directory' }): void {
  thread.fs.mkdirSync(entryIn(directoryOf(thread, parent), name), 0o700);
  const mode = thread.data.directoryMode;
  thread.directories.set(directory, { parent, name, file: null, mode, seconds: null });
}

function describe(thread: Thread, { directory, mode, seconds }: Step & { makes: 'attributes' }): void {
  const known = thread.directories.get(directory);
  if (known !== undefined) Object.assign(known, { mode, seconds });
}

function finishDirectories(thread: Thread): void {
  const { fs, data } = thread;
  for (const [directory, { mode, seconds }] of thread.directories) {
    throwIfStopped(thread);
    const path = `/proc/self/fd/${directoryOf(thread, directory)}`;
    if (data.owner !== null) fs.chownSync(path, data.owner.uid, data.owner.gid);
    fs.chmodSync(path, mode);
    if (seconds !== null) fs.utimesSync(path, seconds, seconds);
  }
  closeDirectories(thread);
}

/** For the text of the program: see there. */
export const DIRECTORIES = {
  throwIfStopped,
  entryIn,
  directoryOf,
  reach,
  closeDirectories,
  makeDirectory,
  describe,
  finishDirectories,
};
