import { mkdir } from 'node:fs/promises';
import type { Owner } from '../owner.js';
import { entryOf, openDirectory, type PathHandle } from '../paths/descriptors.js';
import { newName } from '../paths/own-names.js';
import type { Pipe } from './reader/pipe.js';
import { removeTree } from './tree-removal.js';
import type { NewFile } from './writer/messages.js';
import { startWriter, type Writer } from './writer/writer.js';

/** Half of the times that the file systems of today can keep are far enough away. */
const TIME_MAX_SECONDS = 8_640_000_000;
const ROOT = 0;
const SLASH = Buffer.from('/');

export interface Attributes {
  mode: number;
  modifiedAtMs: number | null;
}

/** A directory that nobody but us may enter, in which an archive is unpacked. Links in it are never followed. */
export interface Staging {
  root: PathHandle;
  /**
   * What is read for it by the thread that writes to it: of that the least has to be done with it. Each piece has to be added,
   * or done with, before the next one is asked for.
   */
  readFile(file: number, sizeBytes: number): AsyncGenerator<Buffer>;
  /** The pipe is closed with the staging, and what writes to it has to be gone before. */
  readPipe(pipe: Pipe): AsyncGenerator<Buffer>;
  addDirectory(parts: Buffer[], attributes: Attributes): Promise<void>;
  addFile(parts: Buffer[], content: AsyncIterable<Buffer>, attributes: Attributes): Promise<void>;
  /** @param attributes With what of the original is copied at most. */
  addCopy(parts: Buffer[], original: Buffer[], attributes: Attributes & { sizeBytes: number }): Promise<void>;
  /** It is made when everything else is there. */
  addLink(parts: Buffer[], target: Buffer): void;
  /** Everything is on its way to the disk, with its owner, mode and time. */
  finish(): Promise<void>;
  remove(): Promise<void>;
}

interface StagingOptions {
  owner: Owner | null;
  /** Stops it at once: whoever waits for it gets the signal's reason. */
  signal: AbortSignal;
  /** After some of it is in files. */
  onWritten(bytes: number): void;
}

export async function createStaging(parent: PathHandle, options: StagingOptions): Promise<Staging> {
  const { signal } = options;
  const name = newName('unpacking');
  await mkdir(entryOf(parent, name), 0o700);
  const { root, writer } = await startIn(entryOf(parent, name), options).catch(async (error: unknown) => {
    await removeTree(parent, name);
    throw error;
  });
  const stop = () => writer.fail(signal.reason);
  signal.addEventListener('abort', stop, { once: true });
  if (signal.aborted) stop();
  const pipes: Pipe[] = [];
  return {
    root,
    readFile: (file, sizeBytes) => writer.read({ file, sizeBytes }),
    readPipe(pipe) {
      pipes.push(pipe);
      return writer.read({ file: pipe.readEnd, sizeBytes: null });
    },
    ...createAdding(writer),
    async remove() {
      signal.removeEventListener('abort', stop);
      await writer.close();
      for (const pipe of pipes) pipe.closeReadEnd();
      await root.close();
      await removeTree(parent, name);
    },
  };
}

async function startIn(
  path: Buffer,
  { owner, onWritten }: StagingOptions,
): Promise<{ root: PathHandle; writer: Writer }> {
  const root = await openDirectory(path);
  try {
    return { root, writer: startWriter({ root, owner, onWritten }) };
  } catch (error) {
    await root.close();
    throw error;
  }
}

/** The names in it are numbers for the thread that makes them. */
function createAdding(
  writer: Writer,
): Pick<Staging, 'addDirectory' | 'addFile' | 'addCopy' | 'addLink' | 'finish'> {
  const known = new Map<string, number>();
  const links: { parts: Buffer[]; target: Buffer }[] = [];

  async function numberOf(parts: Buffer[]): Promise<number> {
    if (parts.length === 0) return ROOT;
    const key = keyOf(parts);
    const before = known.get(key);
    if (before !== undefined) return before;
    const parent = await numberOf(parts.slice(0, -1));
    const directory = known.size + 1;
    known.set(key, directory);
    await writer.add({ makes: 'directory', directory, parent, name: nameOf(parts) });
    return directory;
  }
  const placeOf = async (parts: Buffer[]): Promise<Pick<NewFile, 'directory' | 'name'>> => ({
    directory: await numberOf(parts.slice(0, -1)),
    name: nameOf(parts),
  });

  return {
    async addDirectory(parts, { mode, modifiedAtMs }) {
      const directory = await numberOf(parts);
      await writer.add({ makes: 'attributes', directory, mode, seconds: secondsOf(modifiedAtMs) });
    },
    async addFile(parts, content, { mode, modifiedAtMs }) {
      await writer.add({ makes: 'file', ...(await placeOf(parts)) });
      for await (const piece of content) await writer.addContent(piece);
      await writer.add({ makes: 'close', mode, seconds: secondsOf(modifiedAtMs) });
    },
    async addCopy(parts, original, { mode, modifiedAtMs, sizeBytes }) {
      const [place, from] = [await placeOf(parts), await placeOf(original)];
      await writer.add({ makes: 'copy', ...place, from, sizeBytes, mode, seconds: secondsOf(modifiedAtMs) });
    },
    addLink(parts, target) {
      links.push({ parts, target });
    },
    async finish() {
      for (const { parts, target } of links) {
        await writer.add({ makes: 'link', ...(await placeOf(parts)), target: target.toString('latin1') });
      }
      await writer.add({ makes: 'end' });
      await writer.settle();
    },
  };
}

function keyOf(parts: Buffer[]): string {
  return Buffer.concat(parts.flatMap((part) => [part, SLASH])).toString('latin1');
}

function nameOf(parts: Buffer[]): string {
  return parts.at(-1)?.toString('latin1') ?? '';
}

function secondsOf(timeMs: number | null): number | null {
  if (timeMs === null || !Number.isFinite(timeMs)) return null;
  return Math.min(Math.max(timeMs / 1000, -TIME_MAX_SECONDS), TIME_MAX_SECONDS);
}
