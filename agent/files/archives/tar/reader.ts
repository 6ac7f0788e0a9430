import { type ByteReader, CHUNK_BYTES } from '../bytes.js';
import { type FoundEntry, nothing } from '../entries.js';
import { cutOff, damaged, remainder, showName, unreadable } from '../refusals.js';
import { type Extended, parseExtended, sparse } from './extended.js';
import { BLOCK_BYTES, paddingOf, parseHeader, type TarHeader } from './header.js';

/** Of a pax header or a long name. */
const EXTENDED_MAX_BYTES = 1024 * 1024;
const EXTENDED_IN_A_ROW_MAX = 8;
/** Zeros after the end, up to which the blocks of a tape are filled. */
const TRAILER_MAX_BYTES = 4 * 1024 * 1024;

const KINDS: Record<string, FoundEntry['kind']> = {
  '\0': 'file',
  '0': 'file',
  '7': 'file',
  '1': 'hard link',
  '2': 'link',
  '3': 'special',
  '4': 'special',
  '5': 'directory',
  '6': 'special',
};

/**
 * The entries of a tar archive. Nothing is taken for granted: an archive is whole only with the two empty blocks at its end,
 * headers before an entry are of bounded size, and what is not understood is refused rather than left out.
 */
export async function* readTar(bytes: ByteReader): AsyncGenerator<FoundEntry> {
  for (let isFirst = true; ; isFirst = false) {
    const found = await nextHeader(bytes, isFirst);
    if (found === null) return await expectEnd(bytes);
    const { header, extended } = found;
    const entry = toEntry(header, extended);
    const content = createContent(bytes, entry.sizeBytes);
    yield { ...entry, content: entry.kind === 'file' ? content.read() : nothing() };
    await content.skip();
  }
}

interface Found {
  header: TarHeader;
  extended: Extended;
}

/** Null: the first of the empty blocks at the end. */
async function nextHeader(bytes: ByteReader, isFirst: boolean): Promise<Found | null> {
  const extended: Extended = {};
  for (let count = 0; count <= EXTENDED_IN_A_ROW_MAX; count += 1) {
    const block = await bytes.take(BLOCK_BYTES);
    if (block === null) throw cutOff();
    if (isEmpty(block)) {
      if (count > 0) throw damaged('a header in it has no entry');
      return null;
    }
    const header = parseHeader(block);
    if (header === null) throw isFirst && count === 0 ? notTar() : damaged('a header in it is none');
    if (!'xgLK'.includes(header.typeFlag)) return { header, extended };
    const content = await readSmall(bytes, header.sizeBytes);
    if (header.typeFlag === 'x') Object.assign(extended, parseExtended(content));
    else if (header.typeFlag === 'L') extended.name = untilNul(content);
    else if (header.typeFlag === 'K') extended.target = untilNul(content);
    else expectHarmless(parseExtended(content));
  }
  throw damaged('it has too many headers for one entry');
}

/** What counts for all entries from there on must not be their name or size. */
function expectHarmless({ name, target, sizeBytes }: Extended): void {
  if ((name ?? target ?? sizeBytes) !== undefined) throw damaged('all entries in it have one name or size');
}

function toEntry(header: TarHeader, extended: Extended): Omit<FoundEntry, 'content'> {
  const name = extended.name ?? header.name;
  const sizeBytes = extended.sizeBytes ?? header.sizeBytes;
  if (header.typeFlag === 'S') throw sparse();
  const known = KINDS[header.typeFlag];
  if (known === undefined) throw unreadable(`"${showName(name)}" in the archive is of an unknown kind.`);
  // Before there were directories they were files with a slash.
  const kind = known === 'file' && name.at(-1) === 0x2f ? 'directory' : known;
  // Programs do not agree on whether such content is there, and so not on where the next entry is.
  if (kind !== 'file' && kind !== 'special' && sizeBytes !== 0) {
    throw damaged(`"${showName(name)}" has content, but is no file`);
  }
  return {
    name,
    kind,
    sizeBytes,
    mode: header.mode,
    modifiedAtMs: (extended.modifiedAtSeconds ?? header.modifiedAtSeconds) * 1000,
    target: extended.target ?? header.target,
  };
}

function createContent(bytes: ByteReader, sizeBytes: number) {
  let missing = sizeBytes;
  async function next(): Promise<Buffer> {
    const piece = await bytes.takeSome(missing);
    if (piece === null) throw cutOff();
    missing -= piece.length;
    return piece;
  }
  async function* read(): AsyncGenerator<Buffer> {
    while (missing > 0) yield await next();
  }
  return {
    read,
    /** To the next header. */
    async skip() {
      while (missing > 0) await next();
      const padding = paddingOf(sizeBytes);
      if (padding > 0 && (await bytes.take(padding)) === null) throw cutOff();
    },
  };
}

async function readSmall(bytes: ByteReader, sizeBytes: number): Promise<Buffer> {
  if (sizeBytes > EXTENDED_MAX_BYTES) throw damaged('a header in it is too large');
  const padded = sizeBytes + paddingOf(sizeBytes);
  const content = padded === 0 ? Buffer.alloc(0) : await bytes.take(padded);
  if (content === null) throw cutOff();
  return content.subarray(0, sizeBytes);
}

/** After one empty block: another one, and nothing but zeros after that. */
async function expectEnd(bytes: ByteReader): Promise<void> {
  const second = await bytes.take(BLOCK_BYTES);
  if (second === null) throw cutOff();
  if (!isEmpty(second)) throw damaged('there is an empty header in it');
  for (let trailer = 0; ; ) {
    const piece = await bytes.takeSome(CHUNK_BYTES);
    if (piece === null) return;
    trailer += piece.length;
    if (trailer > TRAILER_MAX_BYTES || !isEmpty(piece)) {
      throw remainder();
    }
  }
}

const ZEROS = Buffer.alloc(CHUNK_BYTES);

function isEmpty(piece: Buffer): boolean {
  return piece.equals(ZEROS.subarray(0, piece.length));
}

function untilNul(content: Buffer): Buffer {
  const end = content.indexOf(0);
  return Buffer.from(end === -1 ? content : content.subarray(0, end));
}

function notTar(): Error {
  return unreadable('This is no archive that can be read: those are tar, tar.gz, tar.zst and zip.');
}
