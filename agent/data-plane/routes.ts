import type { IncomingHttpHeaders } from 'node:http2';
import { z } from 'zod';
import {
  type FileOperation,
  FileOperations,
  FilePath,
  type HandleOperation,
  HandleOperations,
} from '../../src/protocol/data-plane.js';
import { type FileWork, FileWorks } from '../../src/protocol/file-works.js';
import { FileError } from '../files/errors.js';

const Count = z
  .string()
  .regex(/^\d{1,16}$/)
  .transform(Number)
  .refine(Number.isSafeInteger);
const Range = { offset: Count.default(0), length: Count.nullable().default(null) };

const ContentQuery = z.object({ path: FilePath, ...Range });
const UploadQuery = z.object({
  path: FilePath,
  replace: z.enum(['true', 'false']).transform((value) => value === 'true'),
});
const HandleQuery = z.object(Range);
const PartQuery = z.object({ uploadId: z.uuid(), offset: Count });

/** What the panel asks for. */
export type Route =
  | ({ serverUuid: string } & ServerRoute)
  | ({ serverUuid: null; handle: string } & HandleRoute);
type ServerRoute =
  | { kind: 'operation'; name: FileOperation }
  | { kind: 'read'; query: z.output<typeof ContentQuery> }
  | { kind: 'write'; query: z.output<typeof UploadQuery> }
  | { kind: 'write-upload'; query: z.output<typeof PartQuery> }
  | { kind: 'work'; name: FileWork };
type HandleRoute =
  | { kind: 'handle-operation'; name: HandleOperation }
  | { kind: 'handle-read'; query: z.output<typeof HandleQuery> }
  | { kind: 'handle-write'; query: z.output<typeof HandleQuery> };

/** @throws FileError when it is nothing that this agent knows. */
export function readRoute(method: string, path: string): Route {
  const address = URL.canParse(path, 'http://agent') ? new URL(path, 'http://agent') : null;
  const [, root, id = '', name = '', item, ...rest] = address?.pathname.split('/') ?? [];
  const query = Object.fromEntries(address?.searchParams ?? []);
  if (rest.length > 0) throw unknown();
  if (root === 'servers' && z.uuid().safeParse(id).success) {
    const route =
      item === undefined ? serverRoute(method, name, query) : itemRoute(method, { name, item, query });
    return { serverUuid: id, ...route };
  }
  if (root === 'handles' && item === undefined && /^[\w-]{1,64}$/.test(id))
    return { serverUuid: null, handle: id, ...handleRoute(method, name, query) };
  throw unknown();
}

function serverRoute(method: string, name: string, query: object): ServerRoute {
  if (name === 'content' && method === 'GET') return { kind: 'read', query: parse(ContentQuery, query) };
  if (name === 'content' && method === 'PUT') return { kind: 'write', query: parse(UploadQuery, query) };
  if (method === 'POST' && isKeyOf(FileOperations, name)) return { kind: 'operation', name };
  throw unknown();
}

function itemRoute(
  method: string,
  { name, item, query }: { name: string; item: string; query: object },
): ServerRoute {
  if (name === 'uploads' && method === 'PUT')
    return { kind: 'write-upload', query: parse(PartQuery, { ...query, uploadId: item }) };
  if (name === 'work' && method === 'POST' && isKeyOf(FileWorks, item)) return { kind: 'work', name: item };
  throw unknown();
}

function handleRoute(method: string, name: string, query: object): HandleRoute {
  if (name === 'content' && method === 'GET')
    return { kind: 'handle-read', query: parse(HandleQuery, query) };
  if (name === 'content' && method === 'PUT')
    return { kind: 'handle-write', query: parse(HandleQuery, query) };
  if (method === 'POST' && isKeyOf(HandleOperations, name)) return { kind: 'handle-operation', name };
  throw unknown();
}

/** @throws FileError when it is not what the schema describes. */
export function parse<Value>(schema: z.ZodType<Value>, value: unknown): Value {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new FileError(
    'file.name_invalid',
    `The request is not valid: ${issue?.path.join('.')}: ${issue?.message}`,
  );
}

/** How much the panel says it sends; null: it does not know. */
export function readSize(headers: IncomingHttpHeaders): number | null {
  const size = headers['x-size'];
  return size === undefined ? null : parse(Count, size);
}

function isKeyOf<Table extends object>(table: Table, name: string): name is Extract<keyof Table, string> {
  return Object.hasOwn(table, name);
}

function unknown(): FileError {
  return new FileError('file.failed', 'The agent of the node does not know how to do this: update it.');
}
