import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Logger } from 'pino';
import type { z } from 'zod';
import {
  type FileOperation,
  FileOperations,
  type HandleOperation,
  HandleOperations,
} from '../../src/protocol/data-plane.js';
import type { FileCall, FileRequest, FileService, HandleRequest } from '../files/contract.js';
import { readJson, sendContent, sendJson, wholeOf } from './content.js';
import { whatCameOf } from './parts.js';
import { refusalOf } from './refusals.js';
import { parse, type Route, readSize } from './routes.js';
import { answerWork, type WorkTurns } from './works.js';

/** The same, so that each operation's name still says what its input is. */
const FILE_OPERATIONS: { [Name in FileOperation]: { input: z.ZodType<FileRequest<Name>> } } = FileOperations;
const HANDLE_OPERATIONS: { [Name in HandleOperation]: { input: z.ZodType<HandleRequest<Name>> } } =
  HandleOperations;

const REFUSED = 422;

interface Question {
  files: FileService;
  route: Route;
  headers: IncomingHttpHeaders;
  call: FileCall;
  turns: WorkTurns;
  log: Logger;
}

/** Rejects with whatever the file service does; then nothing has been answered yet. */
export async function answer(stream: ServerHttp2Stream, question: Question): Promise<void> {
  const { files, route, headers, call } = question;
  switch (route.kind) {
    case 'operation':
      return sendJson(stream, await operate(question, route, await readJson(stream)));
    case 'handle-operation':
      return sendJson(stream, await operateHandle(question, route, await readJson(stream)));
    case 'read': {
      const { entry, ...content } = await files.read(route.serverUuid, route.query, call);
      return sendContent(stream, content, entry);
    }
    case 'handle-read':
      return sendContent(stream, await files.readHandle(route.handle, route.query, call), null);
    case 'write': {
      const sizeBytes = readSize(headers);
      const request = { ...route.query, sizeBytes };
      const source = wholeOf(stream, sizeBytes);
      return sendJson(stream, await files.write(route.serverUuid, request, source, call));
    }
    case 'work':
      return answerWork(stream, { ...question, ...route, input: await readJson(stream) });
    case 'write-upload': {
      const source = whatCameOf(stream);
      return sendJson(stream, await files.writeUpload(route.serverUuid, route.query, source, call));
    }
    case 'handle-write': {
      const source = wholeOf(stream, readSize(headers));
      return sendJson(stream, await files.writeHandle(route.handle, route.query, source, call));
    }
  }
}

function operate<Name extends FileOperation>(
  { files, call }: Question,
  { serverUuid, name }: { serverUuid: string; name: Name },
  input: unknown,
) {
  return files.operate(serverUuid, name, parse(FILE_OPERATIONS[name].input, input), call);
}

function operateHandle<Name extends HandleOperation>(
  { files, call }: Question,
  { handle, name }: { handle: string; name: Name },
  input: unknown,
) {
  return files.operateHandle(handle, name, parse(HANDLE_OPERATIONS[name].input, input), call);
}

/** Says why not, where that can still be said, and stops what the panel is sending. */
export function refuse(stream: ServerHttp2Stream, error: unknown, log: Logger): void {
  const body = refusalOf(error, log);
  if (stream.destroyed || stream.closed) return;
  if (stream.headersSent) {
    stream.destroy(new Error('The answer was broken off.'));
    return;
  }
  // The panel stops sending when it hears of it; until then nobody wants it.
  stream.unpipe();
  stream.resume();
  stream.respond({ ':status': REFUSED, 'content-type': 'application/json' });
  stream.end(JSON.stringify(body));
}
