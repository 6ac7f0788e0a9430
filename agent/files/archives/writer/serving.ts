import type { MessagePort } from 'node:worker_threads';
import type { Reply, Request, Step, ThreadData } from './messages.js';
import type { Parts, Thread } from './state.js';

/** As much as the block holds, unless there is no more. */
function readBlock(thread: Thread, block: number): Reply {
  const { fs, data, memory, source } = thread;
  if (source === null) throw new Error('there is nothing to read from');
  const { sizeBytes } = source;
  const start = block * data.blockBytes;
  let bytes = 0;
  while (bytes < data.blockBytes) {
    thread.parts.throwIfStopped(thread);
    const room = data.blockBytes - bytes;
    const wanted = sizeBytes === null ? room : Math.min(room, sizeBytes - source.position);
    const position = sizeBytes === null ? null : source.position;
    const some = wanted === 0 ? 0 : fs.readSync(source.file, memory, start + bytes, wanted, position);
    if (some === 0) break;
    bytes += some;
    source.position += some;
  }
  return { says: 'read', bytes };
}

function make(thread: Thread, step: Step): void {
  const { parts, memory } = thread;
  if (step.makes === 'file') parts.create(thread, step);
  else if (step.makes === 'content') {
    parts.write(thread, memory.subarray(step.start, step.start + step.bytes));
  } else if (step.makes === 'close') parts.finishFile(thread, step);
  else if (step.makes === 'directory') parts.makeDirectory(thread, step);
  else if (step.makes === 'attributes') parts.describe(thread, step);
  else if (step.makes === 'copy') parts.copy(thread, step);
  else if (step.makes === 'link') parts.makeLink(thread, step);
  else parts.finishDirectories(thread);
}

function tell(thread: Thread, isOver: boolean): void {
  const reply: Reply = { says: 'done', bytes: thread.untoldBytes, isOver };
  thread.untoldBytes = 0;
  thread.port.postMessage(reply);
}

function perform(thread: Thread, request: Request): void {
  if (request.does === 'open') thread.source = { ...request.source, position: 0 };
  if (request.does === 'read') thread.port.postMessage(readBlock(thread, request.block));
  if (request.does !== 'make') return;
  for (const step of request.steps) {
    thread.parts.throwIfStopped(thread);
    make(thread, step);
  }
  tell(thread, true);
}

function attempt(thread: Thread, request: Request): void {
  if (thread.isEnded) return;
  try {
    perform(thread, request);
  } catch (error) {
    thread.isEnded = true;
    const { code = null, message = '' }: { code?: string | null; message?: string } = Object(error);
    const reply: Reply = { says: 'failed', code, message };
    thread.port.postMessage(reply);
  }
}

function stop(thread: Thread): void {
  const { file } = thread;
  thread.file = null;
  if (file !== null) thread.fs.closeSync(file);
  thread.parts.closeDirectories(thread);
  thread.port.close();
}

function serve(
  load: NodeJS.Require,
  port: MessagePort,
  { data, parts }: { data: ThreadData; parts: Parts },
): void {
  const fs: Thread['fs'] = load('node:fs');
  const os: typeof import('node:os') = load('node:os');
  const thread: Thread = {
    fs,
    port,
    data,
    parts,
    memory: Buffer.from(data.memory),
    control: new Int32Array(data.control),
    source: null,
    directories: new Map(),
    openCount: 0,
    file: null,
    untoldBytes: 0,
    isEnded: false,
  };
  // On Linux of this thread alone.
  os.setPriority(data.niceness);
  port.on('message', (request: Request) => {
    if (request.does === 'stop') stop(thread);
    else attempt(thread, request);
  });
}

/** For the text of the program: see there. */
export const SERVING = { readBlock, make, tell, perform, attempt, stop, serve };
