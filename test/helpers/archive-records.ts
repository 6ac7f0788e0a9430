import { crc32, deflateRawSync } from 'node:zlib';

/** One entry of a tar archive, as wrong as one likes. */
export interface TarFields {
  name: string | Buffer;
  type?: string;
  mode?: number;
  content?: string | Buffer;
  target?: string;
  /** What the header says instead of the size of the content. */
  sizeField?: string | Buffer;
  prefix?: string;
  magic?: string;
  checksum?: string;
}

export const TAR_END = Buffer.alloc(1024);

export function tarEntry(fields: TarFields): Buffer {
  const content = Buffer.from(fields.content ?? '');
  const header = Buffer.alloc(512);
  Buffer.from(fields.name).copy(header, 0, 0, 100);
  header.write((fields.mode ?? 0o644).toString(8).padStart(7, '0'), 100);
  header.write('0000000', 108);
  header.write('0000000', 116);
  Buffer.from(fields.sizeField ?? content.length.toString(8).padStart(11, '0')).copy(header, 124, 0, 12);
  header.write('14000000000', 136);
  header.write(fields.type ?? '0', 156, 'latin1');
  header.write(fields.target ?? '', 157);
  header.write(fields.magic ?? 'ustar\x0000', 257, 'latin1');
  header.write(fields.prefix ?? '', 345);
  header.write('        ', 148);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(fields.checksum ?? `${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return Buffer.concat([header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]);
}

/** With the two empty blocks at its end. */
export function tarOf(...entries: TarFields[]): Buffer {
  return Buffer.concat([...entries.map(tarEntry), TAR_END]);
}

export function paxEntry(records: Record<string, string>, type = 'x'): TarFields {
  const content = Object.entries(records)
    .map(([key, value]) => {
      const rest = ` ${key}=${value}\n`;
      let length = Buffer.byteLength(rest);
      while (length !== Buffer.byteLength(rest) + String(length).length) length += 1;
      return `${length}${rest}`;
    })
    .join('');
  return { name: 'PaxHeader', type, content };
}

/** One entry of a zip archive; each side of it can lie by itself. */
export interface ZipFields {
  name: string | Buffer;
  content?: string | Buffer;
  /** Instead of the compressed content. */
  raw?: Buffer;
  /** With the kind of the file. 0: made by a system without modes. */
  mode?: number;
  method?: number;
  flags?: number;
  checksum?: number;
  sizeBytes?: number;
  compressedBytes?: number;
  localName?: string;
  localMethod?: number;
  /** Where it says that it begins. */
  offset?: number;
  extra?: Buffer;
}

export interface ZipEndFields {
  entries?: number;
  directoryOffset?: number;
  directoryBytes?: number;
  disk?: number;
  comment?: string;
  /** Put before the end record. */
  beforeEnd?: Buffer;
}

export function zipOf(entries: ZipFields[], end: ZipEndFields = {}): Buffer {
  const locals: Buffer[] = [];
  const records: Buffer[] = [];
  let offset = 0;
  for (const fields of entries) {
    const { local, record } = zipEntry(fields, offset);
    locals.push(local);
    records.push(record);
    offset += local.length;
  }
  const directory = Buffer.concat(records);
  const comment = Buffer.from(end.comment ?? '');
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50, 0);
  last.writeUInt16LE(end.disk ?? 0, 4);
  last.writeUInt16LE(end.entries ?? entries.length, 8);
  last.writeUInt16LE(end.entries ?? entries.length, 10);
  last.writeUInt32LE(end.directoryBytes ?? directory.length, 12);
  last.writeUInt32LE(end.directoryOffset ?? offset, 16);
  last.writeUInt16LE(comment.length, 20);
  return Buffer.concat([...locals, directory, end.beforeEnd ?? Buffer.alloc(0), last, comment]);
}

function zipEntry(fields: ZipFields, offset: number): { local: Buffer; record: Buffer } {
  const content = Buffer.from(fields.content ?? '');
  const method = fields.method ?? 8;
  const raw = fields.raw ?? (method === 8 ? deflateRawSync(content) : content);
  const name = Buffer.from(fields.name);
  const localName = Buffer.from(fields.localName ?? fields.name);
  const extra = fields.extra ?? Buffer.alloc(0);
  const common = Buffer.alloc(24);
  common.writeUInt16LE(20, 0);
  common.writeUInt16LE(fields.flags ?? 0x0800, 2);
  common.writeUInt16LE(method, 4);
  common.writeUInt16LE(0x21, 8);
  common.writeUInt32LE(fields.checksum ?? crc32(content), 10);
  common.writeUInt32LE(fields.compressedBytes ?? raw.length, 14);
  common.writeUInt32LE(fields.sizeBytes ?? content.length, 18);
  common.writeUInt16LE(name.length, 22);
  const local = Buffer.alloc(30);
  local.writeUInt32LE(0x04034b50, 0);
  common.copy(local, 4);
  local.writeUInt16LE(fields.localMethod ?? method, 8);
  local.writeUInt16LE(localName.length, 26);
  const record = Buffer.alloc(46);
  record.writeUInt32LE(0x02014b50, 0);
  record.writeUInt16LE(fields.mode === 0 ? 0 : 3 << 8, 4);
  common.copy(record, 6);
  record.writeUInt16LE(extra.length, 30);
  record.writeUInt32LE(((fields.mode ?? 0o100644) << 16) >>> 0, 38);
  record.writeUInt32LE(fields.offset ?? offset, 42);
  return { local: Buffer.concat([local, localName, raw]), record: Buffer.concat([record, name, extra]) };
}
