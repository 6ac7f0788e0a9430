import type { MessagePort } from 'node:worker_threads';
import type { Reply, Request, ThreadData } from './messages.js';
import type { Parts, Thread } from './state.js';

function perform(thread: Thread, request: Request): Reply | null {
  const at = 'at' in request ? Buffer.from(request.at, 'latin1') : Buffer.alloc(0);
  if (request.does === 'enter') return { says: 'answer', answer: thread.parts.enter(thread, at) };
  if (request.does === 'more')
    return { says: 'answer', answer: thread.parts.more(thread, request.directory) };
  if (request.does === 'look') return { says: 'answer', answer: thread.parts.look(thread, at, '') };
  if (request.does === 'leave') thread.parts.leave(thread, request.directory);
  if (request.does === 'drop') for (const place of request.places) thread.fs.closeSync(place);
  if (request.does === 'copy') thread.parts.copyAll(thread, request);
  if (request.does === 'count') {
    thread.parts.beginCounting(thread, at, request.bytes);
    return { says: 'answer', answer: null };
  }
  if (request.does !== 'end') return null;
  thread.parts.flush(thread);
  return { says: 'over', done: { ...thread.done, totalBytes: thread.done.bytes }, isWhole: true };
}

/** Places that were looked at and not copied are closed with the thread. */
function stop(thread: Thread): void {
  thread.parts.stopCounting(thread);
  for (const directory of thread.listed.keys()) thread.parts.leave(thread, directory);
  thread.port.close();
}

function answer(thread: Thread, request: Request): Reply | null {
  try {
    return perform(thread, request);
  } catch (error) {
    thread.isEnded = true;
    const of = 'path' in request ? request.path : null;
    const { code = null, path = of, message = '' }: Partial<Reply & { says: 'failed' }> = Object(error);
    // Whoever takes it has ended, and says why.
    if (code === 'EPIPE') return { says: 'over', done: thread.parts.doneSoFar(thread), isWhole: false };
    return { says: 'failed', path, code, message };
  }
}

/** Null where there is none, and whatever it says against it: reading says it, too. */
function loadSplice(load: NodeJS.Require, native: string | null): Thread['splice'] {
  if (native === null) return null;
  try {
    const signature =
      'long splice(int from, void *start, int to, void *position, size_t bytes, uint32_t flags)';
    const call = load(native).load(null).func(signature);
    return (from, to, bytes) => Number(call(from, null, to, null, bytes, 0));
  } catch {
    return null;
  }
}

function serve(
  load: NodeJS.Require,
  port: MessagePort,
  { data, parts }: { data: ThreadData; parts: Parts },
): void {
  const fs: Thread['fs'] = load('node:fs');
  const os: typeof import('node:os') = load('node:os');
  const thread: Thread = {
    splice: loadSplice(load, data.native),
    fs,
    port,
    data,
    parts,
    memory: Buffer.from(data.memory),
    dealtWith: new Int32Array(data.control),
    listed: new Map(),
    filledBytes: 0,
    blocks: 0,
    untoldBytes: 0,
    told: 0,
    done: { bytes: 0, entries: 0 },
    isEnded: false,
    counted: { way: [], bytes: 0, isPossible: true },
  };
  // On Linux of this thread alone.
  os.setPriority(data.niceness);
  port.on('message', (request: Request) => {
    if (request.does === 'stop') return stop(thread);
    const reply = thread.isEnded ? null : answer(thread, request);
    if (reply !== null) port.postMessage(reply);
  });
}

/** For the text of the program: see there. */
export const SERVING = { perform, stop, answer, loadSplice, serve };
