import type { FileHandle } from 'node:fs/promises';
import { crc32, createInflateRaw, inflateRaw, type ZlibOptions } from 'node:zlib';
import { isErrorCode } from '../../../atomic-file.js';
import { batchPieces, readFully, readRange } from '../bytes.js';
import { filterInProcess, through } from '../compression.js';
import { type FoundEntry, nothing, TARGET_MAX_BYTES } from '../entries.js';
import { damaged, hostile, showName, unreadable } from '../refusals.js';
import { readEnd, readZipDirectory, type ZipEntry } from './directory.js';
import * as zip from './records.js';

/** Contents up to this are unpacked in one go. */
const SMALL_MAX_BYTES = 512 * 1024;

export interface ZipArchive {
  /** Of the content of all files, as the archive says. */
  totalBytes: number;
  entries: AsyncGenerator<FoundEntry>;
}

/**
 * The archive's list of files is what counts; each file's own header must agree with it, and no two may share their bytes.
 * Its own reader rather than a library's: errors of streams and callbacks would not all come back to the one who asked.
 */
export async function openZip(file: FileHandle, fileBytes: number, signal: AbortSignal): Promise<ZipArchive> {
  const end = await readEnd(file, fileBytes);
  const limits: { offset: number; end: number; name: Buffer }[] = [];
  let totalBytes = 0;
  for await (const entry of readZipDirectory(file, end)) {
    signal.throwIfAborted();
    expectReadable(entry);
    const { offset, rawName, name, compressedBytes } = entry;
    limits.push({ offset, name, end: offset + zip.LOCAL_BYTES + rawName.length + compressedBytes });
    totalBytes += entry.sizeBytes;
  }
  limits.sort((one, other) => one.offset - other.offset);
  for (const [index, limit] of limits.entries()) {
    const { offset, name } = limits[index + 1] ?? { ...limit, offset: end.offset };
    if (limit.end > offset) throw hostile(name, 'shares its bytes with another entry');
  }
  if (!Number.isSafeInteger(totalBytes)) throw damaged('the sizes in it are absurd');
  const offsets = Float64Array.from([...limits.map(({ offset }) => offset), end.offset]);

  async function* readEntries(): AsyncGenerator<FoundEntry> {
    for await (const entry of readZipDirectory(file, end)) {
      const dataOffset = await readLocal(file, entry, nextOf(offsets, entry.offset));
      yield await toFound(file, entry, dataOffset, signal);
    }
  }
  return { totalBytes, entries: readEntries() };
}

/** The first that is larger, in what is sorted. */
function nextOf(offsets: Float64Array, offset: number): number {
  let [low, high] = [0, offsets.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((offsets[middle] ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return offsets[low] ?? 0;
}

function expectReadable({ flags, method, name, sizeBytes, compressedBytes }: ZipEntry): void {
  const shown = `"${showName(name)}" in the archive`;
  if (flags & (zip.FLAG_ENCRYPTED | zip.FLAG_STRONG_ENCRYPTION | zip.FLAG_HIDDEN_HEADERS)) {
    throw unreadable(`${shown} is encrypted: pack it again without a password.`);
  }
  if (method !== zip.METHOD_STORED && method !== zip.METHOD_DEFLATED) {
    throw unreadable(`${shown} is compressed by a method (${method}) that cannot be read: use "deflate".`);
  }
  if (method === zip.METHOD_STORED && sizeBytes !== compressedBytes) {
    throw damaged(`${shown} has two sizes`);
  }
}

/** @returns Where the content begins. */
async function readLocal(file: FileHandle, entry: ZipEntry, next: number): Promise<number> {
  const { offset, rawName, flags, method } = entry;
  const header = await readFully(file, offset, zip.LOCAL_BYTES + rawName.length);
  const differs = damaged(`"${showName(entry.name)}" has a header that differs from the list of files`);
  if (header.readUInt32LE(0) !== zip.LOCAL_SIGNATURE) throw differs;
  if (header.readUInt16LE(26) !== rawName.length || !header.subarray(zip.LOCAL_BYTES).equals(rawName)) {
    throw differs;
  }
  const localFlags = header.readUInt16LE(6);
  if (header.readUInt16LE(8) !== method || (localFlags & zip.FLAG_ENCRYPTED) !== 0) throw differs;
  if ((flags & zip.FLAG_DESCRIPTOR) === 0) {
    const sizes: [number, number][] = [
      [header.readUInt32LE(14), entry.checksum],
      [header.readUInt32LE(18), entry.compressedBytes],
      [header.readUInt32LE(22), entry.sizeBytes],
    ];
    if (sizes.some(([local, listed]) => local !== listed && local !== zip.MAX_32)) throw differs;
  }
  const dataOffset = offset + header.length + header.readUInt16LE(28);
  if (dataOffset + entry.compressedBytes > next) {
    throw hostile(entry.name, 'shares its bytes with another entry');
  }
  return dataOffset;
}

async function toFound(
  file: FileHandle,
  entry: ZipEntry,
  dataOffset: number,
  signal: AbortSignal,
): Promise<FoundEntry> {
  const { name, mode, sizeBytes, modifiedAtMs } = entry;
  const kind = kindOf(entry);
  if (kind !== 'file' && kind !== 'link' && sizeBytes !== 0) {
    throw damaged(`"${showName(name)}" has content, but is no file`);
  }
  const found = { name, kind, mode: mode === null ? null : mode & 0o7777, modifiedAtMs };
  const content = kind === 'directory' ? nothing() : readContent(file, entry, dataOffset, signal);
  if (kind !== 'link') return { ...found, sizeBytes, content, target: Buffer.alloc(0) };
  if (sizeBytes > TARGET_MAX_BYTES) throw hostile(name, 'is a link to too long a name');
  const pieces: Buffer[] = [];
  for await (const piece of content) pieces.push(piece);
  return { ...found, sizeBytes: 0, content: nothing(), target: Buffer.concat(pieces) };
}

function kindOf({ name, mode }: ZipEntry): FoundEntry['kind'] {
  const bits = (mode ?? 0) & zip.MODE_KIND;
  if (name.at(-1) === 0x2f) return bits === 0 || bits === zip.MODE_DIRECTORY ? 'directory' : 'special';
  if (bits === 0 || bits === zip.MODE_FILE) return 'file';
  if (bits === zip.MODE_DIRECTORY) return 'directory';
  return bits === zip.MODE_LINK ? 'link' : 'special';
}

function tooMuch(name: Buffer): Error {
  return hostile(name, 'has more in it than the archive says');
}

/** With its size and checksum checked. */
async function* readContent(
  file: FileHandle,
  entry: ZipEntry,
  dataOffset: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const { name, sizeBytes, checksum } = entry;
  let [bytes, sum] = [0, 0];
  for await (const piece of unpack(file, entry, dataOffset, signal)) {
    bytes += piece.length;
    if (bytes > sizeBytes) throw tooMuch(name);
    sum = crc32(piece, sum);
    yield piece;
  }
  if (bytes < sizeBytes) throw damaged(`"${showName(name)}" has less in it than the archive says`);
  if (sum !== checksum) throw damaged(`the checksum of "${showName(name)}" is wrong`);
}

interface Inflated {
  buffer: Buffer;
  /** What was read of the compressed bytes. */
  engine: { bytesWritten: number };
}

/** Node's own types do not know what `info` makes of the answer. */
function inflateAll(compressed: Buffer, maxOutputLength: number): Promise<Inflated> {
  return new Promise((resolve, reject) => {
    inflateRaw(compressed, { info: true, maxOutputLength } as ZlibOptions, (error, result: unknown) => {
      if (error) reject(error);
      else resolve(result as Inflated);
    });
  });
}

async function* unpack(
  file: FileHandle,
  { name, method, compressedBytes, sizeBytes }: ZipEntry,
  start: number,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const end = start + compressedBytes;
  if (method === zip.METHOD_STORED) return yield* readRange(file, { start, end });
  const broken = (error?: unknown) =>
    Object.assign(damaged(`"${showName(name)}" cannot be decompressed`), { cause: error });
  if (compressedBytes <= SMALL_MAX_BYTES && sizeBytes <= SMALL_MAX_BYTES) {
    const compressed = await readFully(file, start, compressedBytes);
    // One byte more, so that more than there should be is seen.
    const { buffer, engine } = await inflateAll(compressed, sizeBytes + 1).catch((error: unknown) => {
      if (isErrorCode(error, 'ERR_BUFFER_TOO_LARGE')) throw tooMuch(name);
      throw broken(error);
    });
    if (engine.bytesWritten !== compressedBytes) throw broken();
    return yield buffer;
  }
  const inflate = createInflateRaw({ chunkSize: 256 * 1024 });
  const isWhole = () => inflate.bytesWritten === compressedBytes;
  yield* through(
    async () => filterInProcess(inflate, isWhole),
    batchPieces(readRange(file, { start, end })),
    signal,
    () => {
      throw broken();
    },
  );
}
