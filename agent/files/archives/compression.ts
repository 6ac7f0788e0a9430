import { once } from 'node:events';
import type { FileHandle } from 'node:fs/promises';
import type { Transform, Writable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { FileError, toFileError } from '../errors.js';
import { batchPieces } from './bytes.js';
import { type Filter, findProgram, startFilter } from './programs.js';
import { openPipe } from './reader/pipe.js';

export type Compression = 'gzip' | 'zstd';

/** Where something compressed goes. */
export interface Sink {
  file: FileHandle;
  write(pieces: Buffer[]): Promise<void>;
  /** Somebody else may have written to the file. Rejects when it has become larger than it may. */
  observe(): Promise<void>;
}

/** Whoever takes what is given to him has ended, and says himself why. */
export class TakerGone extends Error {
  override name = 'TakerGone';
}

/** What is being packed, from the moment it is made. */
export interface Packed {
  /** Each may be used until the next one is asked for. */
  groups: AsyncIterable<Buffer[]>;
  /** To be called in any case; what reads from its pipe has to read on, or to be gone. */
  close(): Promise<void>;
}

/** @param output A pipe that all of it goes to. Null: it comes to us. */
export type Source = (output: number | null) => Packed;

/**
 * The program writes to the file itself: all of it through our hands would cost as much as reading it. It is given more only
 * after what it has written so far is accounted for, so it is never ahead by more than it and the blocks on the way hold.
 * @throws FileError `archive.unsupported` before anything is begun when this machine cannot.
 */
export async function compressInto(
  sink: Sink,
  compression: Compression,
  source: Source,
  signal: AbortSignal,
): Promise<void> {
  const program = await programFor(compression);
  const pipe = program === null ? null : await openPipe();
  const packed = source(pipe?.writeEnd ?? null);
  const start = async () => {
    if (program === null) return filterInProcess(createGzip());
    const ends = { input: pipe?.readEnd ?? null, output: sink.file.fd };
    const filter = await startFilter([program, ...PACKING[compression]], ends);
    // So that it is told when the program is gone.
    pipe?.closeReadEnd();
    return filter;
  };
  async function* observed(): AsyncGenerator<Buffer[]> {
    for await (const pieces of packed.groups) {
      if (program !== null) await sink.observe();
      yield pieces;
    }
    pipe?.closeWriteEnd();
  }
  try {
    const compressed = through(start, observed(), signal, notCompressed);
    for await (const pieces of batchPieces(compressed)) await sink.write(pieces);
    if (program !== null) await sink.observe();
  } finally {
    pipe?.closeReadEnd();
    await packed.close();
    pipe?.closeWriteEnd();
  }
}

function notCompressed(complaint: string): never {
  if (/no space|quota/i.test(complaint))
    throw toFileError(Object.assign(new Error(complaint), { code: 'ENOSPC' }));
  const reason = complaint === '' ? 'the program that does it has been ended. Try again.' : complaint;
  throw new FileError('file.failed', `The archive could not be compressed: ${reason}`);
}

const PACKING: Record<Compression, string[]> = { gzip: ['-c'], zstd: ['-q', '-c', '-T0'] };
export async function programFor(compression: Compression): Promise<string | null> {
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
  source: AsyncIterable<Buffer[]> | null,
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
    if (failure !== null && !(failure.error instanceof TakerGone)) throw failure.error;
    signal.throwIfAborted();
    const { isGood, complaint } = await filter.ended;
    signal.throwIfAborted();
    if (!isGood || failure !== null) onFailure(complaint);
  } finally {
    signal.removeEventListener('abort', filter.kill);
    filter.kill();
    await feeding;
    await filter.ended;
  }
}

/** Until its end or its death. */
async function* readAll({ output, ended }: Filter): AsyncGenerator<Buffer> {
  if (output === null) return void (await ended);
  try {
    for await (const chunk of output) yield chunk;
  } catch (error) {
    // Destroyed by `kill`, or broken off: how the filter ended says which.
    if (!output.destroyed) throw error;
  }
}

/** What is given to it is with the system, or the filter gone, before more is asked for. */
async function feed({ input }: Filter, source: AsyncIterable<Buffer[]> | null): Promise<void> {
  if (source === null) return;
  for await (const pieces of source) {
    // Null: it has got them another way.
    if (input?.destroyed) return;
    if (input !== null) await writePieces(input, pieces);
  }
  input?.end();
}

function writePieces(input: Writable, pieces: Buffer[]): Promise<void> {
  return new Promise((resolve) => {
    const settle = () => {
      input.off('close', settle);
      resolve();
    };
    input.on('close', settle);
    input.cork();
    for (const [index, piece] of pieces.entries()) {
      if (index < pieces.length - 1) input.write(piece);
      // An error is told by how the filter ends.
      else input.write(piece, settle);
    }
    input.uncork();
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
