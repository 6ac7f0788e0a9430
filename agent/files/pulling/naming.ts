import type { Answer } from './request.js';

/**
 * What a file is called by where it comes from: as the answer says (RFC 6266), else as its address ends. Without
 * directories, and without dots before it, which would hide it; null when nothing is left.
 */
export function nameOf({ response, url }: Answer): string | null {
  const header = response.headers['content-disposition'];
  const said = header === undefined ? null : readDisposition(header);
  return toName(said ?? '') ?? toName(decode(url.pathname.split('/').at(-1) ?? ''));
}

const EXTENDED = /;\s*filename\*\s*=\s*"?utf-8'[^']*'([^";\s]+)/i;
const QUOTED = /;\s*filename\s*=\s*"((?:[^"\\]|\\.)*)"/i;
const PLAIN = /;\s*filename\s*=\s*([^";\s]+)/i;

function readDisposition(header: string): string | null {
  const extended = EXTENDED.exec(header)?.[1];
  if (extended !== undefined) return decode(extended);
  const quoted = QUOTED.exec(header)?.[1]?.replace(/\\(.)/g, '$1');
  const name = quoted ?? PLAIN.exec(header)?.[1] ?? null;
  // Headers are read as Latin-1, but what people send is UTF-8.
  return name === null ? null : Buffer.from(name, 'latin1').toString();
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function toName(text: string): string | null {
  const last = text.split(/[/\\]/).at(-1) ?? '';
  const name = last
    .replace(/\p{Cc}/gu, '')
    .replace(/^[\s.]+/, '')
    .trim();
  return name === '' ? null : name;
}
