import type { Item, Request } from './messages.js';
import type { Thread } from './state.js';

/** Hands over what is in the block, and waits until there is another one. */
function flush(thread: Thread): void {
  const { fs, data, memory, filledBytes } = thread;
  if (filledBytes === 0) return;
  const start = (thread.blocks % data.blockCount) * data.blockBytes;
  for (let written = 0; data.output !== null && written < filledBytes; ) {
    written += fs.writeSync(data.output, memory, start + written, filledBytes - written);
  }
  thread.blocks += 1;
  thread.filledBytes = 0;
  handedOver(thread, filledBytes);
}

function handedOver(thread: Thread, bytes: number): void {
  const { data } = thread;
  thread.untoldBytes += bytes;
  if (data.output === null || thread.untoldBytes >= data.toldBytes) tell(thread);
}

function tell(thread: Thread): void {
  const { port, data, dealtWith, untoldBytes } = thread;
  thread.untoldBytes = 0;
  thread.told += 1;
  thread.parts.count(thread);
  port.postMessage({ says: 'block', bytes: untoldBytes, done: thread.parts.doneSoFar(thread) });
  for (;;) {
    const dealt = Atomics.load(dealtWith, 0);
    if (dealt === data.stopped) throw new Error('nobody wants it any more');
    if (thread.told - dealt < data.toldMax) return;
    Atomics.wait(dealtWith, 0, dealt);
  }
}

/** Room in the block, of so many bytes at most. */
function roomFor(thread: Thread, bytes: number): Buffer {
  const { data, memory } = thread;
  if (thread.filledBytes === data.blockBytes) flush(thread);
  const start = (thread.blocks % data.blockCount) * data.blockBytes + thread.filledBytes;
  return memory.subarray(start, start + Math.min(bytes, data.blockBytes - thread.filledBytes));
}

/** @param source Null: zeros. */
function append(thread: Thread, source: Uint8Array | null, bytes: number): void {
  for (let at = 0; at < bytes; ) {
    const room = roomFor(thread, bytes - at);
    if (source === null) room.fill(0);
    else room.set(source.subarray(at, at + room.length));
    thread.filledBytes += room.length;
    at += room.length;
  }
}

/** @returns How many bytes there were, which may be less. */
function appendFile(thread: Thread, place: number, sizeBytes: number): number {
  const { fs, data } = thread;
  // The very thing that was looked at, whatever has its name by now.
  const file = sizeBytes === 0 ? null : fs.openSync(`/proc/self/fd/${place}`, data.flags.read);
  fs.closeSync(place);
  if (file === null) return 0;
  try {
    const splicedBytes = spliceFile(thread, file, sizeBytes);
    return splicedBytes + readFile(thread, file, sizeBytes - splicedBytes);
  } finally {
    fs.closeSync(file);
  }
}

function readFile(thread: Thread, file: number, sizeBytes: number): number {
  let at = 0;
  while (at < sizeBytes) {
    const room = roomFor(thread, sizeBytes - at);
    const bytesRead = thread.fs.readSync(file, room, 0, room.length, null);
    if (bytesRead === 0) break;
    thread.filledBytes += bytesRead;
    thread.done.bytes += bytesRead;
    at += bytesRead;
  }
  return at;
}

/** From the file into the pipe by the kernel alone. @returns How many bytes: none where that is not to be had. */
function spliceFile(thread: Thread, file: number, sizeBytes: number): number {
  const { data, splice } = thread;
  if (splice === null || data.output === null || sizeBytes < data.splicedMinBytes) return 0;
  flush(thread);
  let at = 0;
  while (at < sizeBytes) {
    const bytes = splice(file, data.output, Math.min(sizeBytes - at, data.toldBytes));
    if (bytes <= 0) break;
    handedOver(thread, bytes);
    thread.done.bytes += bytes;
    at += bytes;
  }
  return at;
}

function copy(thread: Thread, item: Item, head: Uint8Array): void {
  append(thread, head, head.length);
  const readBytes = item.place === null ? 0 : appendFile(thread, item.place, item.sizeBytes);
  append(thread, null, item.sizeBytes - readBytes + item.zeroBytes);
  thread.done.bytes += item.sizeBytes - readBytes;
  thread.done.entries += 1;
}

function copyAll(thread: Thread, request: Request & { does: 'copy' }): void {
  let at = 0;
  for (const item of request.items) {
    try {
      copy(thread, item, request.heads.subarray(at, at + item.headBytes));
    } catch (error) {
      throw Object.assign(Object(error), { path: item.path });
    }
    at += item.headBytes;
  }
  // What is left belongs to nothing: the end of the archive.
  append(thread, request.heads.subarray(at), request.heads.length - at);
  thread.parts.count(thread);
  if (request.isFlushed) flush(thread);
}

/** For the text of the program: see there. */
export const COPYING = {
  flush,
  handedOver,
  tell,
  roomFor,
  append,
  appendFile,
  readFile,
  spliceFile,
  copy,
  copyAll,
};
