import { spawnSync } from 'node:child_process';
import { gzipSync } from 'node:zlib';
import {
  paxEntry,
  TAR_END,
  type TarFields,
  tarEntry,
  tarOf,
  type ZipFields,
  zipOf,
} from './archive-records.js';

export interface EvilArchive {
  name: string;
  bytes(): Buffer;
  code: 'archive.hostile_entry' | 'archive.unreadable';
  /** What the message must have in it: for a hostile entry its name. */
  says: string;
}

const GOOD: TarFields = { name: 'good', content: 'good' };
const GOOD_IN_ZIP: ZipFields = { name: 'good', content: 'good' };

type Case = [name: string, says: string, ...entries: TarFields[]];
type ZipCase = [name: string, says: string, ...entries: ZipFields[]];

const CLIMBING = [
  '../evil',
  '..',
  'd/../../evil',
  'd/..',
  './../evil',
  '/etc/evil',
  '//etc/evil',
  'a/b/../c',
];
const DEEP = `${'d/'.repeat(300)}evil`;
const LONG = 'n'.repeat(256);
const link = (name: string, target: string): TarFields => ({ name, type: '2', target });
const hardLink = (name: string, target: string): TarFields => ({ name, type: '1', target });
const [COMPOSED, DECOMPOSED] = ['caf\u00e9', 'cafe\u0301'];

const HOSTILE_TARS: Case[] = [
  ...CLIMBING.map((name): Case => [`the path ${name}`, name, { name, content: 'evil' }]),
  ['two dots in the prefix', '../evil', { name: 'evil', prefix: '..' }],
  ['two dots in a pax header', '../evil', paxEntry({ path: '../evil' }), GOOD],
  ['two dots in a long name', '../evil', { name: 'L', type: 'L', content: '../evil\0' }, GOOD],
  ['a directory that climbs', '../evil', { name: '../evil/', type: '5' }],
  ['a NUL in a pax name', 'evil', paxEntry({ path: 'evil\0name' }), GOOD],
  ['no name', '', { name: '' }],
  ['a file that is the directory itself', './', { name: './', type: '2', target: 'd' }],
  ['too long a name', 'nnn', paxEntry({ path: LONG }), GOOD],
  ['too deep', 'd/d/d', paxEntry({ path: DEEP }), GOOD],
  ['control characters in a name', '\\u{1b}[31m/../\\u{a}', { name: '\x1b[31m/../\n', content: 'x' }],
  ['an absolute link', 'evil', link('evil', '/etc')],
  ['a link that climbs', 'evil', link('evil', '../outside')],
  ['a link that climbs from a directory', 'd/e/evil', link('d/e/evil', '../../../outside')],
  ['a link that climbs after a name', 'evil', link('evil', 'a/../../outside')],
  ['a link to nowhere', 'evil', link('evil', '')],
  ['links that climb by one another', 'two', link('one', '.'), link('two', 'one/one/../../outside')],
  ['a link, and a file through it', 'l/evil', link('l', 'd'), { name: 'l/evil', content: 'evil' }],
  ['a link by pax that climbs', 'evil', paxEntry({ linkpath: '../outside' }), link('evil', 'd')],
  ['a hard link that is absolute', 'evil', hardLink('evil', '/etc/passwd')],
  ['a hard link that climbs', 'evil', hardLink('evil', '../outside/secret')],
  ['a hard link to what is there, but not in it', 'evil', hardLink('evil', 'd/file')],
  ['a hard link to a link', 'evil', link('l', 'good'), GOOD, hardLink('evil', 'l')],
  ['a hard link to itself', 'evil', hardLink('evil', 'evil')],
  ['a character device', 'evil', { name: 'evil', type: '3' }],
  ['a block device', 'evil', { name: 'evil', type: '4' }],
  ['a FIFO', 'evil', { name: 'evil', type: '6' }],
  ['set-user-id', 'evil', { name: 'evil', mode: 0o4755, content: 'evil' }],
  ['set-group-id', 'evil', { name: 'evil', mode: 0o2755, content: 'evil' }],
  ['sticky', 'evil', { name: 'evil', mode: 0o1755, content: 'evil' }],
  ['set-user-id on a hard link', 'evil', GOOD, { ...hardLink('evil', 'good'), mode: 0o4755 }],
  ['the same name twice', 'evil', { name: 'evil' }, { name: 'evil' }],
  ['the same name, spelled otherwise', './/evil', { name: 'evil' }, { name: './/evil' }],
  ['a directory twice', 'evil/', { name: 'evil/', type: '5' }, { name: 'evil/', type: '5' }],
  ['a file and a directory of one name', 'evil/', { name: 'evil' }, { name: 'evil/', type: '5' }],
  ['a directory and a file of one name', 'evil', { name: 'evil/a' }, { name: 'evil' }],
  ['a file that is used as a directory', 'evil/a', { name: 'evil' }, { name: 'evil/a' }],
  ['twins in Unicode', DECOMPOSED, { name: COMPOSED }, { name: DECOMPOSED }],
  ['twins of directories', `${COMPOSED}/b`, { name: `${DECOMPOSED}/a` }, { name: `${COMPOSED}/b` }],
  ['more than can be believed', 'evil', { name: 'evil', sizeField: '77777777777' }],
  ['more than can be believed, by pax', 'evil', paxEntry({ size: '9000000000000000' }), { name: 'evil' }],
];

const mode = (kind: number, bits = 0o644) => kind | bits;
const HOSTILE_ZIPS: ZipCase[] = [
  ...CLIMBING.map((name): ZipCase => [`the path ${name}`, name, { name, content: 'evil' }]),
  ['backslashes', '..\\evil', { name: '..\\evil' }],
  ['a disk', 'C:/evil', { name: 'C:/evil' }],
  ['a disk and backslashes', 'C:\\evil', { name: 'C:\\evil' }],
  ['a share', '\\\\host\\evil', { name: '\\\\host\\evil' }],
  ['a NUL', 'evil\\u{0}.txt', { name: 'evil\0.txt' }],
  ['an absolute link', 'evil', { name: 'evil', content: '/etc', mode: mode(0o120000, 0o777) }],
  ['a link that climbs', 'evil', { name: 'evil', content: '../outside', mode: mode(0o120000, 0o777) }],
  ['a link of a long way', 'evil', { name: 'evil', content: 'x'.repeat(5000), mode: mode(0o120000) }],
  ['a FIFO', 'evil', { name: 'evil', mode: mode(0o010000) }],
  ['a device', 'evil', { name: 'evil', mode: mode(0o020000) }],
  ['a socket', 'evil', { name: 'evil', mode: mode(0o140000) }],
  ['set-user-id', 'evil', { name: 'evil', mode: mode(0o100000, 0o4755) }],
  ['the same name twice', 'evil', { name: 'evil' }, { name: 'evil' }],
  ['a file and a directory of one name', 'evil/', { name: 'evil' }, { name: 'evil/', mode: 0 }],
  ['twins in Unicode', DECOMPOSED, { name: COMPOSED }, { name: DECOMPOSED }],
  ['more in it than it says', 'evil', { name: 'evil', content: Buffer.alloc(50_000), sizeBytes: 10 }],
  [
    'far more in it than it says',
    'evil',
    { name: 'evil', content: Buffer.alloc(5_000_000), sizeBytes: 1_000_000 },
  ],
  ['more than can be believed', 'evil', { name: 'evil', raw: Buffer.from([3, 0]), sizeBytes: 0xfffffff0 }],
  ['two entries with the same bytes', 'evil', GOOD_IN_ZIP, { name: 'evil', offset: 0, localName: 'good' }],
  [
    'entries within one another',
    'good',
    { name: 'evil', method: 0, content: zipOf([GOOD_IN_ZIP]).subarray(0, 40) },
    { name: 'good', content: 'good', offset: 34 },
  ],
];

const NEGATIVE = Buffer.from('ffffffffffffffffffffff00', 'hex');
const ABSURD = Buffer.from('80ffffffffffffffffffffff', 'hex');
const whole = () => tarOf(GOOD, { name: 'more', content: Buffer.alloc(3000, 'x') });
const zstd = (bytes: Buffer) => spawnSync('zstd', ['-q', '-c'], { input: bytes, maxBuffer: 2 ** 30 }).stdout;
const [CUT, AFTER, DAMAGED] = ['cut off', 'after', 'damaged'];

const UNREADABLE: [name: string, says: string, bytes: () => Buffer][] = [
  ['a tar without its end', CUT, () => whole().subarray(0, -1024)],
  ['a tar with half of its end', CUT, () => whole().subarray(0, -512)],
  ['a tar cut after an entry', CUT, () => tarEntry(GOOD)],
  ['a tar cut in a file', CUT, () => whole().subarray(0, 2000)],
  ['a tar cut in a header', CUT, () => whole().subarray(0, 1300)],
  ['a tar cut after an entry, and then compressed', CUT, () => gzipSync(tarEntry(GOOD))],
  ['a gzip without its end', CUT, () => gzipSync(whole()).subarray(0, -8)],
  ['a gzip that lacks one byte', CUT, () => gzipSync(whole()).subarray(0, -1)],
  ['half of a gzip', CUT, () => gzipSync(whole()).subarray(0, 60)],
  ['a zst that lacks one byte', CUT, () => zstd(whole()).subarray(0, -1)],
  ['a zip without its list', CUT, () => zipOf([GOOD_IN_ZIP]).subarray(0, 40)],
  ['a zip that lacks one byte', CUT, () => zipOf([GOOD_IN_ZIP]).subarray(0, -1)],
  [
    'a zip that lacks its beginning',
    DAMAGED,
    () => Buffer.concat([zipOf([]).subarray(0, 4), zipOf([GOOD_IN_ZIP]).subarray(9)]),
  ],
  ['something after a tar', AFTER, () => Buffer.concat([whole(), Buffer.from('evil')])],
  ['another tar after a tar', AFTER, () => Buffer.concat([whole(), whole()])],
  ['something after a gzip', AFTER, () => Buffer.concat([gzipSync(whole()), Buffer.from('evil')])],
  ['something after a zst', AFTER, () => Buffer.concat([zstd(whole()), Buffer.from('evil evil')])],
  ['something after a zip', AFTER, () => Buffer.concat([zipOf([GOOD_IN_ZIP]), Buffer.from('evil')])],
  [
    'zeros without end after a tar',
    AFTER,
    () => gzipSync(Buffer.concat([whole(), Buffer.alloc(8 * 1024 * 1024)])),
  ],
  ['a negative size', 'negative', () => tarOf({ name: 'evil', sizeField: NEGATIVE })],
  ['an absurd size', 'absurd', () => tarOf({ name: 'evil', sizeField: ABSURD })],
  ['a size of no digits', DAMAGED, () => tarOf({ name: 'evil', sizeField: '12z45' })],
  ['a wrong checksum', DAMAGED, () => tarOf(GOOD, { name: 'evil', checksum: '012345\0 ' })],
  ['a directory with content', 'evil', () => tarOf({ name: 'evil/', type: '5', content: 'evil' })],
  ['a link with content', 'evil', () => tarOf({ ...link('evil', 'good'), content: 'evil' })],
  ['an empty header in the middle', DAMAGED, () => Buffer.concat([TAR_END.subarray(512), whole()])],
  ['an unknown kind', 'evil', () => tarOf({ name: 'evil', type: 'Z' })],
  ['GNU sparse', 'sparse', () => tarOf({ name: 'evil', type: 'S' })],
  ['GNU sparse by pax', 'sparse', () => tarOf(paxEntry({ 'GNU.sparse.major': '1' }), GOOD)],
  [
    'a pax header of two gigabytes',
    'too large',
    () => tarOf({ name: 'x', type: 'x', sizeField: '20000000000' }),
  ],
  [
    'a name of two megabytes',
    'too large',
    () => tarOf({ name: 'L', type: 'L', content: Buffer.alloc(2e6, 'n') }, GOOD),
  ],
  [
    'a pax header that is none',
    DAMAGED,
    () => tarOf({ name: 'x', type: 'x', content: '99 path=evil\n' }, GOOD),
  ],
  ['a pax header without an entry', DAMAGED, () => tarOf(paxEntry({ path: 'evil' }))],
  ['a pax size that is none', 'absurd', () => tarOf(paxEntry({ size: '-5' }), GOOD)],
  ['one name for all entries', 'all entries', () => tarOf(paxEntry({ path: 'evil' }, 'g'), GOOD)],
  [
    'headers without end',
    'too many',
    () => tarOf(...Array.from({ length: 50 }, () => paxEntry({ a: 'b' })), GOOD),
  ],
  ['an encrypted zip', 'encrypted', () => zipOf([{ ...GOOD_IN_ZIP, flags: 1 }])],
  ['an unknown method', 'method (12)', () => zipOf([{ ...GOOD_IN_ZIP, method: 12 }])],
  ['another name in the header', 'good', () => zipOf([{ ...GOOD_IN_ZIP, localName: 'evil' }])],
  ['another method in the header', 'good', () => zipOf([{ ...GOOD_IN_ZIP, localMethod: 0 }])],
  ['a wrong checksum in a zip', 'checksum', () => zipOf([{ ...GOOD_IN_ZIP, checksum: 1 }])],
  ['less in it than it says', 'less', () => zipOf([{ ...GOOD_IN_ZIP, sizeBytes: 100 }])],
  ['two sizes', 'two sizes', () => zipOf([{ ...GOOD_IN_ZIP, method: 0, sizeBytes: 3 }])],
  ['no deflate', 'decompressed', () => zipOf([{ ...GOOD_IN_ZIP, raw: Buffer.from('evil evil') }])],
  [
    'something after the deflated',
    'decompressed',
    () => zipOf([{ ...GOOD_IN_ZIP, raw: Buffer.from('4bcfcf4f01000000', 'hex') }]),
  ],
  ['more entries than there are', 'fewer', () => zipOf([GOOD_IN_ZIP], { entries: 5 })],
  ['fewer entries than there are', 'more', () => zipOf([GOOD_IN_ZIP, { name: 'evil' }], { entries: 1 })],
  ['a list elsewhere', 'list', () => zipOf([GOOD_IN_ZIP], { directoryOffset: 3 })],
  ['a list that is too long', 'list', () => zipOf([GOOD_IN_ZIP], { directoryBytes: 0xfffffff0 })],
  ['a zip in parts', 'parts', () => zipOf([GOOD_IN_ZIP], { disk: 3 })],
  ['a zip64 size that is missing', 'missing', () => zipOf([{ ...GOOD_IN_ZIP, sizeBytes: 0xffffffff }])],
  ['a million entries in a zip', 'more than', () => zip64Of(1_000_000n)],
  ['more entries than there are numbers', 'absurd', () => zip64Of(2n ** 60n)],
  ['a directory of a zip with content', 'evil', () => zipOf([{ name: 'evil/', content: 'evil', mode: 0 }])],
  ['an empty file', 'empty', () => Buffer.alloc(0)],
  ['a text', 'no archive', () => Buffer.from('Once upon a time there was a text. '.repeat(50))],
  ['a compressed text', 'no archive', () => gzipSync('Once upon a time there was a text. '.repeat(50))],
  ['a short text', CUT, () => Buffer.from('short')],
  ['an xz', 'xz', () => Buffer.from('fd377a585a00', 'hex')],
  ['a rar', 'rar', () => Buffer.from('Rar!\x1a\x07')],
];

/** Of no entries but those that it promises. */
function zip64Of(entries: bigint): Buffer {
  const end64 = Buffer.alloc(56);
  end64.writeUInt32LE(0x06064b50, 0);
  end64.writeBigUInt64LE(44n, 4);
  end64.writeBigUInt64LE(entries, 24);
  end64.writeBigUInt64LE(entries, 32);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  const small = zipOf([GOOD_IN_ZIP]);
  end64.writeBigUInt64LE(BigInt(small.readUInt32LE(small.length - 10)), 40);
  end64.writeBigUInt64LE(BigInt(small.readUInt32LE(small.length - 6)), 48);
  locator.writeBigUInt64LE(BigInt(small.length - 22), 8);
  return zipOf([GOOD_IN_ZIP], {
    entries: 0xffff,
    beforeEnd: Buffer.concat([end64, locator]),
  });
}

export const EVIL_ARCHIVES: EvilArchive[] = [
  ...HOSTILE_TARS.flatMap(([name, says, ...entries]): EvilArchive[] => {
    const bytes = () => tarOf({ name: 'first', content: 'good' }, ...entries);
    const code = 'archive.hostile_entry';
    return [
      { name: `tar: ${name}`, says: `"${says}`, bytes, code },
      { name: `tar.gz: ${name}`, says: `"${says}`, bytes: () => gzipSync(bytes()), code },
    ];
  }),
  ...HOSTILE_ZIPS.map(
    ([name, says, ...entries]): EvilArchive => ({
      name: `zip: ${name}`,
      says: `"${says}`,
      bytes: () => zipOf(entries),
      code: 'archive.hostile_entry',
    }),
  ),
  ...UNREADABLE.map(
    ([name, says, bytes]): EvilArchive => ({ name, says, bytes, code: 'archive.unreadable' }),
  ),
];
