import type { FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { createGunzip } from 'node:zlib';
import { batchPieces, readRange } from './bytes.js';
import { type Compression, filterInProcess, programFor, through } from './compression.js';
import { type Filter, startFilter } from './programs.js';
import { openPipe, type Pipe } from './reader/pipe.js';
import { cutOff, damaged, remainder } from './refusals.js';

/** What the programs call what comes after the end, and an end that comes too early. */
const REMAINDER = /trailing|unknown header|unsupported format/i;
const EARLY_END = /unexpected end|premature|truncated|incomplete|missing/i;

/** By program. */
const UNPACKING: Record<string, string[]> = {
  // It minds what comes after the end only when it is verbose. Threads of its own cost it more than they are worth here.
  pigz: ['-d', '-c', '-v', '-p', '1'],
  gzip: ['-d', '-c', '-v'],
  zstd: ['-q', '-d', '-c'],
};

interface Decompression {
  signal: AbortSignal;
  /** Reads from a pipe, which it closes at some time after. */
  readPipe(pipe: Pipe): AsyncGenerator<Buffer>;
}

/** The content of a compressed file, which is read from its beginning. An end before the end is an error. */
export async function decompress(
  compression: Compression,
  file: FileHandle,
  { signal, readPipe }: Decompression,
): Promise<AsyncGenerator<Buffer>> {
  const program = await programFor(compression);
  if (program !== null) {
    const words = [program, ...(UNPACKING[basename(program)] ?? [])];
    const start = async () => {
      const pipe = await openPipe();
      if (pipe === null) return await startFilter(words, { input: file.fd, output: null });
      return await startIntoPipe(words, file.fd, { pipe, readPipe });
    };
    return through(start, null, signal, complain);
  }
  const { size } = await file.stat();
  const start = async () => {
    const gunzip = createGunzip();
    return filterInProcess(gunzip, () => gunzip.bytesWritten === size);
  };
  return through(start, batchPieces(readRange(file, { start: 0, end: size })), signal, complain);
}

/** It is at its end when the program is gone, and for that it must be the only one that can write to the pipe. */
async function startIntoPipe(
  words: string[],
  input: number,
  { pipe, readPipe }: { pipe: Pipe } & Pick<Decompression, 'readPipe'>,
): Promise<Filter> {
  try {
    const filter = await startFilter(words, { input, output: pipe.writeEnd });
    const content = readPipe(pipe);
    return { ...filter, output: { [Symbol.asyncIterator]: () => content, destroyed: false } };
  } catch (error) {
    pipe.closeReadEnd();
    throw error;
  } finally {
    pipe.closeWriteEnd();
  }
}

function complain(complaint: string): never {
  if (EARLY_END.test(complaint)) throw cutOff();
  if (REMAINDER.test(complaint)) throw remainder();
  throw damaged('it cannot be decompressed');
}
