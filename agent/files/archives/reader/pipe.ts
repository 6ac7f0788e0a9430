import { closeSync } from 'node:fs';
import { loadNativeLibrary } from '../../../native.js';

/** Each end is to be closed by who gets it, once or more often. */
export interface Pipe {
  readEnd: number;
  writeEnd: number;
  closeReadEnd(): void;
  closeWriteEnd(): void;
}

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
/** As much as anybody may have. */
const PIPE_BYTES = 1024 * 1024;

/**
 * A pipe that waits, which Node does not make: what it connects programs by is slower and can only be asked again and again.
 * @returns Null where there are no native calls.
 */
export async function openPipe(): Promise<Pipe | null> {
  const make = await loadCalls().catch(() => null);
  return make?.() ?? null;
}

async function loadCalls(): Promise<() => Pipe | null> {
  const library = await loadNativeLibrary();
  const pipe2 = library.func('int pipe2(void *ends, int flags)');
  const fcntl = library.func('int fcntl(int file, int command, int value)');
  return () => {
    const ends = Buffer.alloc(8);
    if (pipe2(ends, O_CLOEXEC) !== 0) return null;
    const [readEnd, writeEnd] = [ends.readInt32LE(0), ends.readInt32LE(4)];
    // Where so much is not to be had, less does.
    fcntl(writeEnd, F_SETPIPE_SZ, PIPE_BYTES);
    return {
      readEnd,
      writeEnd,
      closeReadEnd: once(() => closeSync(readEnd)),
      closeWriteEnd: once(() => closeSync(writeEnd)),
    };
  };
}

function once(act: () => void): () => void {
  let isDone = false;
  return () => {
    if (!isDone) act();
    isDone = true;
  };
}
