import type { IncomingHttpHeaders } from 'node:http';
import type { FileEntry } from '../../protocol/data-plane.js';
import type { ByteRange } from './downloads.js';
import { modifiedAt } from './views.js';

/** What HTTP answers for a file (RFC 9110, sections 13 and 14). */
export interface Representation {
  status: 200 | 206 | 304 | 416;
  part: ByteRange;
  headers: Record<string, string>;
}

/** @param isWhole For HEAD, where a range means nothing. */
export function represent(
  entry: Pick<FileEntry, 'sizeBytes' | 'modifiedAtMs'>,
  request: IncomingHttpHeaders,
  { isWhole = false }: { isWhole?: boolean } = {},
): Representation {
  const { sizeBytes, modifiedAtMs } = entry;
  const etag = `"${sizeBytes.toString(16)}-${modifiedAtMs.toString(16)}"`;
  const modified = modifiedAt(entry).toUTCString();
  const validators = { etag, 'last-modified': modified };
  const whole = { offset: 0, length: sizeBytes };
  if (isUnchanged(request, { etag, modified })) {
    return { status: 304, part: { offset: 0, length: 0 }, headers: validators };
  }
  const ifRange = request['if-range'];
  const isRangeWanted = !isWhole && (ifRange === undefined || ifRange === etag || ifRange === modified);
  const range = isRangeWanted ? parseRange(request.range, sizeBytes) : null;
  if (range === 'unsatisfiable') {
    return { status: 416, part: whole, headers: { 'content-range': `bytes */${sizeBytes}` } };
  }
  const part = range ?? whole;
  const headers = { ...validators, 'content-length': String(part.length) };
  if (range === null) return { status: 200, part, headers };
  const contentRange = `bytes ${part.offset}-${part.offset + part.length - 1}/${sizeBytes}`;
  return { status: 206, part, headers: { ...headers, 'content-range': contentRange } };
}

function isUnchanged(request: IncomingHttpHeaders, { etag, modified }: { etag: string; modified: string }) {
  const known = request['if-none-match'];
  if (known !== undefined) {
    const tags = known.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    return tags.includes('*') || tags.includes(etag);
  }
  const since = Date.parse(request['if-modified-since'] ?? '');
  return Number.isFinite(since) && Date.parse(modified) <= since;
}

/** Null: what is not a range of bytes counts as not there. Several at once are refused: no client of files needs them. */
export function parseRange(
  header: string | undefined,
  sizeBytes: number,
): ByteRange | 'unsatisfiable' | null {
  const [, ranges] = /^bytes=(.*)$/i.exec(header ?? '') ?? [];
  if (ranges === undefined) return null;
  if (ranges.includes(',')) return 'unsatisfiable';
  const [, first = '', last = ''] = /^\s*(\d*)\s*-\s*(\d*)\s*$/.exec(ranges) ?? [];
  if (first === '' && last === '') return null;
  if (first === '') {
    const length = Math.min(Number(last), sizeBytes);
    return length === 0 ? 'unsatisfiable' : { offset: sizeBytes - length, length };
  }
  const offset = Number(first);
  const end = last === '' ? sizeBytes - 1 : Number(last);
  if (last !== '' && end < offset) return null;
  if (offset >= sizeBytes) return 'unsatisfiable';
  return { offset, length: Math.min(end, sizeBytes - 1) - offset + 1 };
}
