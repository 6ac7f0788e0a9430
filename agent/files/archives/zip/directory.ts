import { isUtf8 } from 'node:buffer';
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { createByteReader, readFully, readRange } from '../bytes.js';
import { ENTRIES_MAX, NAMES_MAX_BYTES } from '../entries.js';
import { cutOff, damaged, remainder, unreadable } from '../refusals.js';
import { fromOldEncoding } from './encoding.js';
import * as zip from './records.js';

const COMMENT_MAX_BYTES = 0xffff;

/** Where the list of what is in the archive stands. */
export interface ZipEnd {
  entries: number;
  offset: number;
  sizeBytes: number;
}

/** An entry of that list. */
export interface ZipEntry {
  /** As it stands there, and as what it means. */
  rawName: Buffer;
  name: Buffer;
  flags: number;
  method: number;
  checksum: number;
  compressedBytes: number;
  sizeBytes: number;
  offset: number;
  /** With the kind of the file; null: made by a system that has none. */
  mode: number | null;
  modifiedAtMs: number;
}

/** @throws FileError when it does not end exactly as a zip archive does. */
export async function readEnd(file: FileHandle, fileBytes: number): Promise<ZipEnd> {
  const tailBytes = Math.min(fileBytes, zip.END_BYTES + COMMENT_MAX_BYTES + zip.LOCATOR64_BYTES);
  const tail = await readFully(file, fileBytes - tailBytes, tailBytes);
  const at = findEnd(tail);
  const position = fileBytes - tailBytes + at;
  const disks = [tail.readUInt16LE(at + 4), tail.readUInt16LE(at + 6)];
  if (disks.some((disk) => disk !== 0 && disk !== zip.MAX_16)) {
    throw unreadable('The archive is in several parts, which cannot be read.');
  }
  const small = {
    entries: tail.readUInt16LE(at + 10),
    sizeBytes: tail.readUInt32LE(at + 12),
    offset: tail.readUInt32LE(at + 16),
  };
  const locator = at - zip.LOCATOR64_BYTES;
  const isLarge = locator >= 0 && tail.readUInt32LE(locator) === zip.LOCATOR64_SIGNATURE;
  const end = isLarge
    ? await readEnd64(file, largeNumber(tail, locator + 8), position - zip.LOCATOR64_BYTES)
    : { ...small, endsAt: position };
  if (end.offset + end.sizeBytes !== end.endsAt) throw damaged('its list of files is not where it should be');
  if (end.entries > ENTRIES_MAX) throw tooMany();
  if (end.sizeBytes > NAMES_MAX_BYTES) throw damaged('its list of files is absurdly long');
  return end;
}

export function tooMany(): Error {
  return unreadable(`There are more than ${ENTRIES_MAX} files in the archive.`);
}

/** From the back, for a comment may follow, which must reach exactly to the end of the file. */
function findEnd(tail: Buffer): number {
  for (let at = tail.length - zip.END_BYTES; at >= 0; at -= 1) {
    if (tail.readUInt32LE(at) !== zip.END_SIGNATURE) continue;
    const end = at + zip.END_BYTES + tail.readUInt16LE(at + 20);
    if (end === tail.length) return at;
    if (end < tail.length) throw remainder();
  }
  throw cutOff();
}

async function readEnd64(file: FileHandle, offset: number, endsAt: number) {
  if (offset + zip.END64_BYTES > endsAt) throw damaged('its end is not where it should be');
  const record = await readFully(file, offset, zip.END64_BYTES);
  if (record.readUInt32LE(0) !== zip.END64_SIGNATURE) throw damaged('its end is not where it should be');
  if (offset + 12 + largeNumber(record, 4) !== endsAt) throw damaged('its end is not where it should be');
  return {
    entries: largeNumber(record, 32),
    sizeBytes: largeNumber(record, 40),
    offset: largeNumber(record, 48),
    endsAt: offset,
  };
}

function largeNumber(bytes: Buffer, at: number): number {
  const value = Number(bytes.readBigUInt64LE(at));
  if (!Number.isSafeInteger(value)) throw damaged('a number in it is absurd');
  return value;
}

export async function* readZipDirectory(file: FileHandle, end: ZipEnd): AsyncGenerator<ZipEntry> {
  const range = { start: end.offset, end: end.offset + end.sizeBytes };
  const bytes = createByteReader(readRange(file, range));
  let count = 0;
  for (; ; count += 1) {
    const record = await bytes.take(zip.CENTRAL_BYTES);
    if (record === null) break;
    if (count === end.entries) throw damaged('there are more files in it than it says');
    if (record.readUInt32LE(0) !== zip.CENTRAL_SIGNATURE) throw damaged('its list of files is none');
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((at) => record.readUInt16LE(at));
    const rawName = await part(bytes, nameBytes);
    const extra = readExtra(await part(bytes, extraBytes));
    await part(bytes, commentBytes);
    yield toEntry(record, Buffer.from(rawName), extra);
  }
  if (count !== end.entries) throw damaged('there are fewer files in it than it says');
}

async function part(bytes: ReturnType<typeof createByteReader>, length = 0): Promise<Buffer> {
  const found = length === 0 ? Buffer.alloc(0) : await bytes.take(length);
  if (found === null) throw cutOff();
  return found;
}

/** The first of each kind. */
function readExtra(bytes: Buffer): Map<number, Buffer> {
  const fields = new Map<number, Buffer>();
  for (let at = 0; at + 4 <= bytes.length; ) {
    const [kind, length] = [bytes.readUInt16LE(at), bytes.readUInt16LE(at + 2)];
    const field = bytes.subarray(at + 4, at + 4 + length);
    if (field.length < length) break;
    if (!fields.has(kind)) fields.set(kind, field);
    at += 4 + length;
  }
  return fields;
}

function toEntry(record: Buffer, rawName: Buffer, extra: Map<number, Buffer>): ZipEntry {
  const flags = record.readUInt16LE(8);
  const madeBy = record.readUInt8(5);
  const hasMode = madeBy === zip.MADE_BY_UNIX || madeBy === zip.MADE_BY_DARWIN;
  const mode = record.readUInt16LE(40);
  // In this order, and only those that did not fit.
  const large = readerOf(extra.get(zip.EXTRA_ZIP64));
  const sizeBytes = large(record.readUInt32LE(24));
  const compressedBytes = large(record.readUInt32LE(20));
  const offset = large(record.readUInt32LE(42));
  const time = extra.get(zip.EXTRA_TIME);
  return {
    rawName,
    name: nameOf(rawName, flags, extra),
    flags,
    compressedBytes,
    sizeBytes,
    offset,
    method: record.readUInt16LE(10),
    checksum: record.readUInt32LE(16),
    mode: hasMode && mode !== 0 ? mode : null,
    modifiedAtMs:
      time !== undefined && time.length >= 5 && ((time[0] ?? 0) & 1) === 1
        ? time.readInt32LE(1) * 1000
        : fromDosTime(record),
  };
}

function fromDosTime(record: Buffer): number {
  return zip.fromDosTime(record.readUInt16LE(12), record.readUInt16LE(14));
}

function readerOf(field: Buffer | undefined): (small: number) => number {
  let at = 0;
  return (small) => {
    if (small !== zip.MAX_32) return small;
    if (field === undefined || at + 8 > field.length) throw damaged('a size in it is missing');
    at += 8;
    return largeNumber(field, at - 8);
  };
}

/** Many programs write UTF-8 without saying so; what cannot be that is in the characters of the first PCs. */
function nameOf(rawName: Buffer, flags: number, extra: Map<number, Buffer>): Buffer {
  if ((flags & zip.FLAG_UTF8) !== 0) return rawName;
  const unicode = extra.get(zip.EXTRA_UNICODE_NAME);
  const counts =
    unicode !== undefined &&
    unicode.length > 5 &&
    unicode[0] === 1 &&
    unicode.readUInt32LE(1) === crc32(rawName);
  if (counts) return Buffer.from(unicode.subarray(5));
  return isUtf8(rawName) ? rawName : Buffer.from(fromOldEncoding(rawName));
}
