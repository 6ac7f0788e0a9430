import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Transform, Writable } from 'node:stream';
import { createGunzip, createGzip } from 'node:zlib';
import { FileError } from '../errors.js';
import { batchPieces, readRange } from './bytes.js';
import { type Filter, findProgram, startFilter } from './programs.js';
import { cutOff, damaged } from './refusals.js';

export type Compression = 'gzip' | 'zstd';

/** What the programs call an end that comes too early. */
const EARLY_END = /unexpected end|premature|truncated|incomplete|missing/i;

/** @throws FileError `archive.unsupported` before anything is begun when this machine cannot. */
export async function compressWith(
  compression: Compression,
  source: AsyncIterable<Buffer>,
  signal: AbortSignal,
): Promise<AsyncGenerator<Buffer>> {
  const program = await programFor(compression);
  const start = async () =>
    program === null
      ? filterInProcess(createGzip())
      : await startFilter([program, ...PACKING[compression]], null);
  return through(start, source, signal, (complaint) => {
    throw new FileError('file.failed', `The archive could not be compressed: ${complaint}`);
  });
}

const PACKING: Record<Compression, string[]> = { gzip: ['-c'], zstd: ['-q', '-c', '-T0'] };
const UNPACKING: Record<Compression, string[]> = { gzip: ['-d', '-c'], zstd: ['-q', '-d', '-c'] };

/** The content of a compressed file, which is read from its beginning. An end before the end is an error. */
export async function decompress(
  compression: Compression,
  file: FileHandle,
  signal: AbortSignal,
): Promise<AsyncGenerator<Buffer>> {
  const program = await programFor(compression);
  if (program !== null) {
    const start = () => startFilter([program, ...UNPACKING[compression]], file.fd);
    return through(start, null, signal, complain);
  }
  const { size } = await file.stat();
  const start = async () => {
    const gunzip = createGunzip();
    return filterInProcess(gunzip, () => gunzip.bytesWritten === size);
  };
  return through(start, readRange(file, { start: 0, end: size }), signal, complain);
}

function complain(complaint: string): never {
  if (EARLY_END.test(complaint)) throw cutOff();
  throw damaged('it cannot be decompressed, or there is something after its end');
}

async function programFor(compression: Compression): Promise<string | null> {
  if (compression === 'gzip') return await findProgram('pigz', 'gzip');
  const program = await findProgram('zstd');
  if (program !== null) return program;
  throw new FileError(
    'archive.unsupported',
    'The node does not have zstd: use tar.gz, or have the package "zstd" installed on the node.',
  );
}

/** As fast as the other end takes it. When it has ended nothing is running any more, however it ended. */
export async function* through(
  start: () => Promise<Filter>,
  source: AsyncIterable<Buffer> | null,
  signal: AbortSignal,
  onFailure: (complaint: string) => void,
): AsyncGenerator<Buffer> {
  signal.throwIfAborted();
  const filter = await start();
  signal.addEventListener('abort', filter.kill, { once: true });
  const feeding = feed(filter, source).then(
    () => null,
    (error: unknown) => {
      filter.kill();
      return { error };
    },
  );
  try {
    if (signal.aborted) filter.kill();
    yield* readAll(filter);
    const failure = await feeding;
    if (failure !== null) throw failure.error;
    signal.throwIfAborted();
    const { isGood, complaint } = await filter.ended;
    signal.throwIfAborted();
    if (!isGood) onFailure(complaint);
  } finally {
    signal.removeEventListener('abort', filter.kill);
    filter.kill();
    await feeding;
    await filter.ended;
  }
}

/** Until its end or its death. */
async function* readAll({ output }: Filter): AsyncGenerator<Buffer> {
  try {
    for await (const chunk of output) yield chunk;
  } catch (error) {
    // Destroyed by `kill`, or broken off: how the filter ended says which.
    if (!output.destroyed) throw error;
  }
}

async function feed({ input }: Filter, source: AsyncIterable<Buffer> | null): Promise<void> {
  if (input === null || source === null) return;
  for await (const pieces of batchPieces(source)) {
    if (input.destroyed) return;
    input.cork();
    for (const piece of pieces) input.write(piece);
    input.uncork();
    if (input.writableNeedDrain) await drained(input);
  }
  input.end();
}

function drained(input: Writable): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      input.off('drain', settle).off('close', settle);
      resolve();
    };
    input.on('drain', settle).on('close', settle);
    if (input.destroyed) settle();
  });
}

/** Where the machine has no such program. */
export function filterInProcess(transform: Transform, isWhole = () => true): Filter {
  let complaint = '';
  transform.on('error', (error) => {
    complaint ||= error.message;
  });
  // What there may be after the end of a compressed stream is not waited for.
  transform.once('end', () => transform.destroy());
  const ended = once(transform, 'close')
    .catch(() => {})
    .then(() => ({ isGood: complaint === '' && isWhole(), complaint }));
  return { input: transform, output: transform, ended, kill: () => transform.destroy() };
}
