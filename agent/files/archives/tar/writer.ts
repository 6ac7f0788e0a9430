import type { TreeEntry } from '../entries.js';
import { encodeExtended } from './extended.js';
import { BLOCK_BYTES, encodeHeader, OCTAL_MAX, paddingOf } from './header.js';

const TYPE_FLAGS = { file: '0', directory: '5', link: '2' } as const;
const EXTENDED_NAME = Buffer.from('PaxHeader');
const NAME_MAX_BYTES = 100;
const PREFIX_MAX_BYTES = 155;

export const END_OF_TAR = Buffer.alloc(2 * BLOCK_BYTES);

/**
 * What comes before the content in the format of POSIX.1-2001: ustar, and what does not fit there in pax headers. After it
 * come zeros up to the next block.
 */
export function headersOf(entry: TreeEntry): Buffer[] {
  const name = entry.kind === 'directory' ? Buffer.concat([entry.name, Buffer.from('/')]) : entry.name;
  const split = splitName(name);
  const modifiedAtSeconds = Math.floor(entry.modifiedAtMs / 1000);
  const hasOddTime = modifiedAtSeconds < 0 || modifiedAtSeconds > OCTAL_MAX;
  const records: [string, Buffer | string][] = [];
  if (split === null) records.push(['path', name]);
  if (entry.target.length > NAME_MAX_BYTES) records.push(['linkpath', entry.target]);
  if (entry.sizeBytes > OCTAL_MAX) records.push(['size', String(entry.sizeBytes)]);
  if (hasOddTime) records.push(['mtime', String(modifiedAtSeconds)]);
  const common = {
    mode: entry.mode,
    modifiedAtSeconds: hasOddTime ? 0 : modifiedAtSeconds,
    target: Buffer.alloc(0),
  };
  const main = encodeHeader({
    ...common,
    ...(split ?? { name: name.subarray(0, NAME_MAX_BYTES) }),
    typeFlag: TYPE_FLAGS[entry.kind],
    sizeBytes: entry.sizeBytes > OCTAL_MAX ? 0 : entry.sizeBytes,
    target: entry.target,
  });
  if (records.length === 0) return [main];
  const content = encodeExtended(records);
  const before = encodeHeader({ ...common, name: EXTENDED_NAME, typeFlag: 'x', sizeBytes: content.length });
  return [before, content, Buffer.alloc(paddingOf(content.length)), main];
}

/** At a slash, where a long name does not fit into its field but has room in two. Null: not even then. */
function splitName(name: Buffer): { name: Buffer; prefix?: Buffer } | null {
  if (name.length <= NAME_MAX_BYTES) return { name };
  for (let slash = name.indexOf(0x2f); slash !== -1; slash = name.indexOf(0x2f, slash + 1)) {
    const rest = name.length - slash - 1;
    if (slash > PREFIX_MAX_BYTES) return null;
    if (slash > 0 && rest > 0 && rest <= NAME_MAX_BYTES) {
      return { name: name.subarray(slash + 1), prefix: name.subarray(0, slash) };
    }
  }
  return null;
}
