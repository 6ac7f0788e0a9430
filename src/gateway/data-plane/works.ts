import type { z } from 'zod';
import { AppError } from '../../lib/errors.js';
import {
  type FileWork,
  FileWorks,
  WORK_LINE_MAX_BYTES,
  WorkLine,
  type WorkOutput,
  type WorkProgress,
  workPath,
} from '../../protocol/file-works.js';
import type { FilePlane } from '../files.js';
import { type Call, notUnderstood, refusalOf, requireOk } from './call.js';
import type { DataLinks } from './links.js';
import { check, enter, take } from './requests.js';

/** However long it takes, so often something is heard of it. */
const SILENCE_TIMEOUT_MS = 30_000;
const LINE_END = 0x0a;

/** The same, so that each work's name still says what its output is. */
const WORKS: { [Name in FileWork]: { input: z.ZodType; output: z.ZodType<WorkOutput<Name>> } } = FileWorks;

export function createWorkCalls(links: DataLinks): FilePlane['work'] {
  return async (nodeId, serverUuid, name, input, { signal, onProgress } = {}) => {
    const body = JSON.stringify(check(WORKS[name].input, input));
    const link = await links.reach(nodeId, signal);
    const request = { method: 'POST', path: workPath(serverUuid, name), signal } as const;
    const call = await enter(link, { serverUuid, kind: 'work', request });
    call.stream.end(body);
    const silence = setTimeout(() => {
      call.fail(new AppError('file.failed', 'The node says nothing of it any more. Try again.'));
    }, SILENCE_TIMEOUT_MS);
    const hear = (progress: WorkProgress) => {
      silence.refresh();
      onProgress?.(progress);
    };
    try {
      await requireOk(call);
      return take(WORKS[name].output, await outcomeOf(call, hear));
    } finally {
      clearTimeout(silence);
      // What comes after the outcome, or after an answer that is none, is of no interest.
      call.stream.destroy();
    }
  };
}

async function outcomeOf(call: Call, onProgress: (progress: WorkProgress) => void): Promise<unknown> {
  for await (const text of linesOf(call)) {
    const line = readLine(text);
    if (line.kind === 'done') return line.output;
    if (line.kind === 'failed') throw refusalOf(line);
    const { kind: _, ...progress } = line;
    onProgress(progress);
  }
  // It ended in the middle, however cleanly.
  throw call.failure();
}

function readLine(text: string): WorkLine {
  try {
    return WorkLine.parse(JSON.parse(text));
  } catch {
    throw notUnderstood();
  }
}

/** Whole lines; what comes after the last of them is dropped. */
async function* linesOf(call: Call): AsyncGenerator<string> {
  let rest: Buffer = Buffer.alloc(0);
  try {
    for await (const chunk of call.stream) {
      rest = Buffer.concat([rest, chunk]);
      for (let end = rest.indexOf(LINE_END); end >= 0; end = rest.indexOf(LINE_END)) {
        if (end > WORK_LINE_MAX_BYTES) throw notUnderstood();
        yield rest.subarray(0, end).toString();
        rest = rest.subarray(end + 1);
      }
      if (rest.length > WORK_LINE_MAX_BYTES) throw notUnderstood();
    }
  } catch (error) {
    throw error instanceof AppError ? error : call.failure();
  }
}
