import { damaged } from '../refusals.js';

export const BLOCK_BYTES = 512;
/** What eleven octal digits hold. */
export const OCTAL_MAX = 8 ** 11 - 1;

/** The fields of a header that count, as POSIX.1-1988 (ustar) and GNU tar lay them out. */
export interface TarHeader {
  name: Buffer;
  typeFlag: string;
  mode: number;
  sizeBytes: number;
  modifiedAtSeconds: number;
  target: Buffer;
}

/** Null: this is no header, its checksum is wrong. */
export function parseHeader(block: Buffer): TarHeader | null {
  if (!hasChecksum(block)) return null;
  // GNU's has other things where the prefix would be.
  const isUstar = block.toString('latin1', 257, 263) === 'ustar\0';
  const name = textOf(block, 0, 100);
  const prefix = isUstar ? textOf(block, 345, 155) : Buffer.alloc(0);
  return {
    name: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from('/'), name]) : name,
    typeFlag: block.toString('latin1', 156, 157),
    mode: numberOf(block, 100, 8),
    sizeBytes: numberOf(block, 124, 12),
    modifiedAtSeconds: numberOf(block, 136, 12, { canBeNegative: true }),
    target: textOf(block, 157, 100),
  };
}

/** Of the bytes, those of the sum itself counted as spaces; old programs took bytes as signed. */
function hasChecksum(block: Buffer): boolean {
  const stored = /^ *([0-7]+)/.exec(block.toString('latin1', 148, 156))?.[1];
  if (stored === undefined) return false;
  let [sum, signedSum] = [0, 0];
  for (let index = 0; index < BLOCK_BYTES; index += 1) {
    const byte = index >= 148 && index < 156 ? 32 : block.readUInt8(index);
    sum += byte;
    signedSum += byte > 127 ? byte - 256 : byte;
  }
  const expected = Number.parseInt(stored, 8);
  return expected === sum || expected === signedSum;
}

function textOf(block: Buffer, offset: number, length: number): Buffer {
  const field = block.subarray(offset, offset + length);
  const end = field.indexOf(0);
  return Buffer.from(end === -1 ? field : field.subarray(0, end));
}

/** Octal digits, or with the topmost bit set a large number in base 256. */
function numberOf(block: Buffer, offset: number, length: number, { canBeNegative = false } = {}): number {
  const field = block.subarray(offset, offset + length);
  const first = field.readUInt8(0);
  if (first >= 0x80) {
    const isNegative = (first & 0x40) !== 0;
    if (isNegative && !canBeNegative) throw damaged('a size in it is negative');
    const bits = BigInt(`0x${field.toString('hex')}`);
    const width = BigInt(length * 8);
    const value = Number(isNegative ? bits - (1n << width) : bits & ((1n << (width - 1n)) - 1n));
    if (!Number.isSafeInteger(value)) throw damaged('a number in it is absurd');
    return value;
  }
  const digits = /^[ \0]*([0-7]*)[ \0]*$/.exec(field.toString('latin1'))?.[1];
  if (digits === undefined) throw damaged('a number in it is none');
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

export interface HeaderFields extends TarHeader {
  prefix?: Buffer;
}

/** Everything in it must fit: at most 100 bytes of name and target, 155 of prefix, numbers up to `OCTAL_MAX`. */
export function encodeHeader(fields: HeaderFields): Buffer {
  const block = Buffer.alloc(BLOCK_BYTES);
  fields.name.copy(block, 0, 0, 100);
  writeOctal(block, 100, 7, fields.mode);
  // Who unpacks it decides whose the files are.
  writeOctal(block, 108, 7, 0);
  writeOctal(block, 116, 7, 0);
  writeOctal(block, 124, 11, fields.sizeBytes);
  writeOctal(block, 136, 11, fields.modifiedAtSeconds);
  block.write('        ', 148, 'latin1');
  block.write(fields.typeFlag, 156, 'latin1');
  fields.target.copy(block, 157, 0, 100);
  block.write('ustar\0' + '00', 257, 'latin1');
  fields.prefix?.copy(block, 345, 0, 155);
  let sum = 0;
  for (let index = 0; index < BLOCK_BYTES; index += 1) sum += block[index] ?? 0;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return block;
}

function writeOctal(block: Buffer, offset: number, digits: number, value: number): void {
  block.write(value.toString(8).padStart(digits, '0'), offset, 'latin1');
}

/** How many bytes there are from the end of so many to the next block. */
export function paddingOf(sizeBytes: number): number {
  return (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES;
}
