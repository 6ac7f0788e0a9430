import { isUtf8 } from 'node:buffer';
import { promisify } from 'node:util';
import { crc32, createDeflateRaw, deflateRaw } from 'node:zlib';
import { exactly, lengthOf } from '../bytes.js';
import { filterInProcess, through } from '../compression.js';
import type { PackedEntry } from '../entries.js';
import * as zip from './records.js';

const VERSION = 20;
const VERSION_64 = 45;
/** From here on sizes stand in 64 bits: what is compressed may become a little larger. */
const LARGE_BYTES = 0xf0000000;
const KINDS = { file: zip.MODE_FILE, directory: zip.MODE_DIRECTORY, link: zip.MODE_LINK } as const;
const compress = promisify<Buffer, Buffer>(deflateRaw);

interface Written {
  name: Buffer;
  flags: number;
  method: number;
  checksum: number;
  compressedBytes: number;
  sizeBytes: number;
  offset: number;
  attributes: number;
  modifiedAtMs: number;
}

/**
 * The bytes of a zip archive, which are never gone back to: sizes that are not known before follow the content. Each group
 * may be used until the next one is asked for.
 */
export async function* writeZip(
  entries: AsyncIterable<PackedEntry>,
  signal: AbortSignal,
): AsyncGenerator<Buffer[]> {
  const records: Buffer[] = [];
  let offset = 0;
  for await (const entry of entries) {
    const written = { ...startOf(entry), offset };
    const content = entry.kind === 'link' ? entry.target : entry.content;
    const groups = Buffer.isBuffer(content)
      ? writeSmall(content, written)
      : writeLarge(entry, written, signal);
    for await (const group of groups) {
      offset += lengthOf(group);
      yield group;
    }
    records.push(centralRecord(written));
  }
  const directory = Buffer.concat(records);
  yield [directory, endRecords({ entries: records.length, offset, sizeBytes: directory.length })];
}

function startOf({ name, kind, mode, modifiedAtMs }: PackedEntry): Omit<Written, 'offset'> {
  const isDirectory = kind === 'directory';
  return {
    name: isDirectory ? Buffer.concat([name, Buffer.from('/')]) : name,
    flags: isUtf8(name) ? zip.FLAG_UTF8 : 0,
    method: zip.METHOD_STORED,
    checksum: 0,
    compressedBytes: 0,
    sizeBytes: 0,
    // The lower half is for systems without modes.
    attributes: (((KINDS[kind] | mode) << 16) | (isDirectory ? 0x10 : 0)) >>> 0,
    modifiedAtMs,
  };
}

async function* writeSmall(content: Buffer, written: Written): AsyncGenerator<Buffer[]> {
  const compressed = content.length === 0 ? content : await compress(content);
  const isWorthIt = compressed.length < content.length;
  written.method = isWorthIt ? zip.METHOD_DEFLATED : zip.METHOD_STORED;
  written.checksum = crc32(content);
  written.sizeBytes = content.length;
  written.compressedBytes = isWorthIt ? compressed.length : content.length;
  yield [localRecord(written, false), isWorthIt ? compressed : content];
}

async function* writeLarge(
  entry: PackedEntry,
  written: Written,
  signal: AbortSignal,
): AsyncGenerator<Buffer[]> {
  const isLarge = entry.sizeBytes >= LARGE_BYTES;
  written.method = zip.METHOD_DEFLATED;
  written.flags |= zip.FLAG_DESCRIPTOR;
  yield [localRecord(written, isLarge)];
  async function* summed(): AsyncGenerator<Buffer[]> {
    for await (const piece of exactly(entry.content, entry.sizeBytes)) {
      written.checksum = crc32(piece, written.checksum);
      yield [piece];
    }
  }
  const start = async () => filterInProcess(createDeflateRaw({ chunkSize: 256 * 1024 }));
  const compressed = through(start, summed(), signal, (complaint) => {
    throw new Error(complaint);
  });
  for await (const piece of compressed) {
    written.compressedBytes += piece.length;
    yield [piece];
  }
  written.sizeBytes = entry.sizeBytes;
  const descriptor = Buffer.alloc(isLarge ? 24 : 16);
  descriptor.writeUInt32LE(zip.DESCRIPTOR_SIGNATURE, 0);
  descriptor.writeUInt32LE(written.checksum, 4);
  if (isLarge) {
    descriptor.writeBigUInt64LE(BigInt(written.compressedBytes), 8);
    descriptor.writeBigUInt64LE(BigInt(written.sizeBytes), 16);
  } else {
    descriptor.writeUInt32LE(written.compressedBytes, 8);
    descriptor.writeUInt32LE(written.sizeBytes, 12);
  }
  yield [descriptor];
}

/** @param isLarge That the sizes which follow the content are of 64 bits is said here. */
function localRecord(written: Written, isLarge: boolean): Buffer {
  const { time, date } = zip.toDosTime(written.modifiedAtMs);
  const extra = [timeField(written.modifiedAtMs), isLarge ? largeField([0, 0]) : Buffer.alloc(0)];
  const extraBytes = Buffer.concat(extra);
  const record = Buffer.alloc(zip.LOCAL_BYTES);
  record.writeUInt32LE(zip.LOCAL_SIGNATURE, 0);
  record.writeUInt16LE(isLarge ? VERSION_64 : VERSION, 4);
  record.writeUInt16LE(written.flags, 6);
  record.writeUInt16LE(written.method, 8);
  record.writeUInt16LE(time, 10);
  record.writeUInt16LE(date, 12);
  record.writeUInt32LE(written.checksum, 14);
  record.writeUInt32LE(isLarge ? zip.MAX_32 : written.compressedBytes, 18);
  record.writeUInt32LE(isLarge ? zip.MAX_32 : written.sizeBytes, 22);
  record.writeUInt16LE(written.name.length, 26);
  record.writeUInt16LE(extraBytes.length, 28);
  return Buffer.concat([record, written.name, extraBytes]);
}

function centralRecord(written: Written): Buffer {
  const { compressedBytes, sizeBytes, offset } = written;
  const { time, date } = zip.toDosTime(written.modifiedAtMs);
  const large = [sizeBytes, compressedBytes, offset].filter((value) => value >= zip.MAX_32);
  const extra = Buffer.concat(
    [timeField(written.modifiedAtMs), large.length > 0 ? largeField(large) : ''].map((field) =>
      Buffer.from(field),
    ),
  );
  const record = Buffer.alloc(zip.CENTRAL_BYTES);
  record.writeUInt32LE(zip.CENTRAL_SIGNATURE, 0);
  record.writeUInt8(VERSION_64, 4);
  record.writeUInt8(zip.MADE_BY_UNIX, 5);
  record.writeUInt16LE(large.length > 0 ? VERSION_64 : VERSION, 6);
  record.writeUInt16LE(written.flags, 8);
  record.writeUInt16LE(written.method, 10);
  record.writeUInt16LE(time, 12);
  record.writeUInt16LE(date, 14);
  record.writeUInt32LE(written.checksum, 16);
  record.writeUInt32LE(Math.min(compressedBytes, zip.MAX_32), 20);
  record.writeUInt32LE(Math.min(sizeBytes, zip.MAX_32), 24);
  record.writeUInt16LE(written.name.length, 28);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(written.attributes, 38);
  record.writeUInt32LE(Math.min(offset, zip.MAX_32), 42);
  return Buffer.concat([record, written.name, extra]);
}

/** In seconds of the world's time: the record itself has only some clock's on some wall. */
function timeField(modifiedAtMs: number): Buffer {
  const field = Buffer.alloc(9);
  field.writeUInt16LE(zip.EXTRA_TIME, 0);
  field.writeUInt16LE(5, 2);
  field.writeUInt8(1, 4);
  const seconds = Math.floor(modifiedAtMs / 1000);
  field.writeInt32LE(Math.min(Math.max(seconds, -(2 ** 31)), 2 ** 31 - 1), 5);
  return field;
}

function largeField(values: number[]): Buffer {
  const field = Buffer.alloc(4 + 8 * values.length);
  field.writeUInt16LE(zip.EXTRA_ZIP64, 0);
  field.writeUInt16LE(8 * values.length, 2);
  for (const [index, value] of values.entries()) field.writeBigUInt64LE(BigInt(value), 4 + 8 * index);
  return field;
}

function endRecords({ entries, offset, sizeBytes }: { entries: number; offset: number; sizeBytes: number }) {
  const end = Buffer.alloc(zip.END_BYTES);
  end.writeUInt32LE(zip.END_SIGNATURE, 0);
  end.writeUInt16LE(Math.min(entries, zip.MAX_16), 8);
  end.writeUInt16LE(Math.min(entries, zip.MAX_16), 10);
  end.writeUInt32LE(Math.min(sizeBytes, zip.MAX_32), 12);
  end.writeUInt32LE(Math.min(offset, zip.MAX_32), 16);
  if (entries < zip.MAX_16 && offset < zip.MAX_32 && sizeBytes < zip.MAX_32) return end;
  const end64 = Buffer.alloc(zip.END64_BYTES);
  end64.writeUInt32LE(zip.END64_SIGNATURE, 0);
  end64.writeBigUInt64LE(BigInt(zip.END64_BYTES - 12), 4);
  end64.writeUInt16LE(VERSION_64, 12);
  end64.writeUInt16LE(VERSION_64, 14);
  end64.writeBigUInt64LE(BigInt(entries), 24);
  end64.writeBigUInt64LE(BigInt(entries), 32);
  end64.writeBigUInt64LE(BigInt(sizeBytes), 40);
  end64.writeBigUInt64LE(BigInt(offset), 48);
  const locator = Buffer.alloc(zip.LOCATOR64_BYTES);
  locator.writeUInt32LE(zip.LOCATOR64_SIGNATURE, 0);
  locator.writeBigUInt64LE(BigInt(offset + sizeBytes), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([end64, locator, end]);
}
