import { damaged, hostile, unreadable } from '../refusals.js';

/** What a pax header (POSIX.1-2001) says of the entry after it, and of that only what matters here. */
export interface Extended {
  name?: Buffer;
  target?: Buffer;
  sizeBytes?: number;
  modifiedAtSeconds?: number;
}

/** Records of the form "length key=value\n", the length being that of the record in decimal. */
export function parseExtended(content: Buffer): Extended {
  const extended: Extended = {};
  for (let offset = 0; offset < content.length; ) {
    const space = content.indexOf(0x20, offset);
    const digits = space === -1 ? '' : content.toString('latin1', offset, Math.min(space, offset + 10));
    const length = /^[1-9]\d*$/.test(digits) ? Number(digits) : 0;
    const record = content.subarray(space + 1, offset + length);
    const equals = record.indexOf(0x3d);
    const isWhole = length > 0 && offset + length <= content.length && record.at(-1) === 0x0a;
    if (!isWhole || equals < 1) throw damaged('a header in it is none');
    apply(extended, record.toString('utf8', 0, equals), record.subarray(equals + 1, -1));
    offset += length;
  }
  return extended;
}

function apply(extended: Extended, key: string, value: Buffer): void {
  const text = value.toString('latin1');
  if (key === 'path' || key === 'linkpath') {
    if (value.includes(0)) throw hostile(value, 'has a NUL character in its name');
    if (key === 'path') extended.name = Buffer.from(value);
    else extended.target = Buffer.from(value);
  } else if (key === 'size') {
    const sizeBytes = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isSafeInteger(sizeBytes)) throw damaged('a size in it is absurd');
    extended.sizeBytes = sizeBytes;
  } else if (key === 'mtime') {
    const seconds = /^-?\d{1,15}(\.\d*)?$/.test(text) ? Number(text) : Number.NaN;
    if (!Number.isFinite(seconds)) throw damaged('a time in it is none');
    extended.modifiedAtSeconds = seconds;
  } else if (key.startsWith('GNU.sparse.')) {
    throw sparse();
  }
}

export function sparse(): Error {
  return unreadable('Files with holes (GNU sparse) cannot be unpacked: pack it again without --sparse.');
}

/** As records of a pax header. */
export function encodeExtended(records: [key: string, value: Buffer | string][]): Buffer {
  return Buffer.concat(
    records.map(([key, value]) => {
      const rest = Buffer.concat([Buffer.from(` ${key}=`), Buffer.from(value), Buffer.from('\n')]);
      // The length counts its own digits too.
      let length = rest.length + 1;
      while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
      return Buffer.concat([Buffer.from(String(length)), rest]);
    }),
  );
}
