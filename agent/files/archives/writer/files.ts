import type { Step } from './messages.js';
import type { Thread } from './state.js';

function pathOf(thread: Thread, { directory, name }: { directory: number; name: string }): Buffer {
  return Buffer.from(`/proc/self/fd/${thread.parts.directoryOf(thread, directory)}/${name}`, 'latin1');
}

function create(thread: Thread, at: { directory: number; name: string }): void {
  thread.file = thread.fs.openSync(pathOf(thread, at), thread.data.flags.create, 0o600);
}

/** What of it the disk has taken is told after a while. */
function write(thread: Thread, bytes: Uint8Array): void {
  const { fs, file, data } = thread;
  if (file === null) throw new Error('no file is open');
  for (let at = 0; at < bytes.length; ) at += fs.writeSync(file, bytes, at, bytes.length - at);
  thread.untoldBytes += bytes.length;
  if (thread.untoldBytes >= data.toldBytes) thread.parts.tell(thread, false);
}

function finishFile(thread: Thread, { mode, seconds }: { mode: number; seconds: number | null }): void {
  const { fs, file, data } = thread;
  if (file === null) throw new Error('no file is open');
  if (data.owner !== null) fs.fchownSync(file, data.owner.uid, data.owner.gid);
  // Not what it was made with: this process, or the directory, may have kept or added some bits.
  fs.fchmodSync(file, mode);
  if (seconds !== null) fs.futimesSync(file, seconds, seconds);
  thread.file = null;
  fs.closeSync(file);
}

/** The very thing that is looked at, whatever has its name by then. */
function openOriginal(thread: Thread, from: { directory: number; name: string }): number {
  const { fs, data } = thread;
  const place = fs.openSync(pathOf(thread, from), data.flags.place);
  try {
    const status = fs.fstatSync(place);
    if (!status.isFile() || (data.uid !== null && status.uid !== data.uid)) {
      throw new Error('somebody else has put something into what is being unpacked');
    }
    return fs.openSync(`/proc/self/fd/${place}`, data.flags.read);
  } finally {
    fs.closeSync(place);
  }
}

/** Not more than was asked for. */
function copy(thread: Thread, step: Step & { makes: 'copy' }): void {
  const { fs, data } = thread;
  const original = openOriginal(thread, step.from);
  try {
    create(thread, step);
    const memory = Buffer.allocUnsafe(Math.min(step.sizeBytes, data.copiedBytes));
    for (let missing = step.sizeBytes; missing > 0; ) {
      thread.parts.throwIfStopped(thread);
      const bytes = fs.readSync(original, memory, 0, Math.min(memory.length, missing), null);
      if (bytes === 0) break;
      write(thread, memory.subarray(0, bytes));
      missing -= bytes;
    }
    finishFile(thread, step);
  } finally {
    fs.closeSync(original);
  }
}

function makeLink(thread: Thread, step: Step & { makes: 'link' }): void {
  const { fs, data } = thread;
  const at = pathOf(thread, step);
  fs.symlinkSync(Buffer.from(step.target, 'latin1'), at);
  if (data.owner === null) return;
  const made = fs.openSync(at, data.flags.place);
  try {
    // Whatever may be there by now: only a link is worth nothing to who gets it.
    if (fs.fstatSync(made).isSymbolicLink()) {
      fs.chownSync(`/proc/self/fd/${made}`, data.owner.uid, data.owner.gid);
    }
  } finally {
    fs.closeSync(made);
  }
}

/** For the text of the program: see there. */
export const FILES = { pathOf, create, write, finishFile, openOriginal, copy, makeLink };
