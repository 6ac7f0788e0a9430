import type { ServerHttp2Stream } from 'node:http2';
import type { Logger } from 'pino';
import type { z } from 'zod';
import {
  type FileWork,
  FileWorks,
  WORK_PROGRESS_INTERVAL_MS,
  WORKS_PER_NODE_MAX,
  WORKS_WAITING_PER_NODE_MAX,
  type WorkLine,
  type WorkProgress,
} from '../../src/protocol/file-works.js';
import type { FileCall, FileService, WorkRequest } from '../files/contract.js';
import { refusalOf } from './refusals.js';
import { parse } from './routes.js';
import { createTurns, type Turns } from './turns.js';

/** The same, so that each work's name still says what its input is. */
const WORKS: { [Name in FileWork]: { input: z.ZodType<WorkRequest<Name>> } } = FileWorks;

/** Whoever fetches a file waits for others more than he works: nobody's archive waits for that. */
const PULLS_PER_NODE_MAX = 16;
const OK = 200;

/** Whose turn it is on this node. */
export type WorkTurns = Record<'archives' | 'pulls', Turns>;

export function createWorkTurns(): WorkTurns {
  const turns = (atOnceMax: number) => createTurns({ atOnceMax, waitingMax: WORKS_WAITING_PER_NODE_MAX });
  return { archives: turns(WORKS_PER_NODE_MAX), pulls: turns(PULLS_PER_NODE_MAX) };
}

export interface WorkQuestion<Name extends FileWork> {
  files: FileService;
  serverUuid: string;
  name: Name;
  input: unknown;
  call: FileCall;
  turns: WorkTurns;
  log: Logger;
}

/** Does the work and says how it goes, line by line. Rejects with what is wrong with the question itself. */
export async function answerWork<Name extends FileWork>(
  stream: ServerHttp2Stream,
  { files, serverUuid, name, input, call, turns, log }: WorkQuestion<Name>,
): Promise<void> {
  const request = parse(WORKS[name].input, input);
  if (stream.destroyed || stream.closed) return;
  stream.respond({ ':status': OK, 'content-type': 'application/x-ndjson' });
  let progress: WorkProgress = { doneBytes: 0, totalBytes: null, doneEntries: 0 };
  const timer = setInterval(() => {
    // A panel that does not read gets the newest when it does.
    if (!stream.writableNeedDrain) say(stream, { kind: 'progress', ...progress });
  }, WORK_PROGRESS_INTERVAL_MS);
  try {
    const leave = await turns[name === 'pull' ? 'pulls' : 'archives'].take(serverUuid, call.signal);
    try {
      const report = (newest: WorkProgress) => {
        progress = newest;
      };
      const output = await files.work(serverUuid, name, request, { ...call, report });
      say(stream, { kind: 'progress', ...progress });
      say(stream, { kind: 'done', output });
    } finally {
      leave();
    }
  } catch (error) {
    if (!call.signal.aborted) say(stream, { kind: 'failed', ...refusalOf(error, log) });
  } finally {
    clearInterval(timer);
  }
  if (!stream.destroyed) stream.end();
}

function say(stream: ServerHttp2Stream, line: WorkLine): void {
  if (!stream.destroyed && !stream.closed) stream.write(`${JSON.stringify(line)}\n`);
}
