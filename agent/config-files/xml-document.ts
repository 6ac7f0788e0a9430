import { ConfigError } from './values.js';

/** A part of the text. */
export interface Span {
  start: number;
  end: number;
}

export interface XmlAttribute {
  name: string;
  value: string;
  /** Between the quotes. */
  span: Span;
}

export interface XmlElement {
  name: string;
  attributes: XmlAttribute[];
  children: XmlElement[];
  /** The start tag, from `<` to behind `>`. */
  tag: Span;
  isEmptyTag: boolean;
  /** Between the tags. */
  content: Span;
}

const DEPTH_MAX = 200;
export const XML_NAME = /^[\p{L}_:][\p{L}\p{N}_:.\-\u00B7]*$/u;
const MARKUP =
  /<!--.*?-->|<!\[CDATA\[.*?\]\]>|<\?.*?\?>|<\/([^\s<>/]+)\s*>|<([^\s<>/!?="']+)((?:[^<>"']|"[^<"]*"|'[^<']*')*)>/sy;
const ATTRIBUTE = /\s+([^\s=<>"'/]+)\s*=\s*(?:"([^"]*)"|'([^']*)')/y;
const ENTITIES: Record<string, string> = { lt: '<', gt: '>', amp: '&', quot: '"', apos: "'" };

/**
 * The elements of a document and where they stand; whatever else is in it is passed over. Documents with a type
 * declaration are refused: it could define entities, and nothing here needs them.
 * @returns Null when there is no element.
 * @throws ConfigError where the text is not well-formed.
 */
export function parseXml(text: string): XmlElement | null {
  const open: XmlElement[] = [];
  let root: XmlElement | null = null;
  let position = 0;
  for (;;) {
    const start = text.indexOf('<', position);
    checkText(text.slice(position, start === -1 ? text.length : start), open.length > 0);
    if (start === -1) break;
    MARKUP.lastIndex = start;
    const match = MARKUP.exec(text);
    if (match === null) refuse(text, start);
    position = start + match[0].length;
    const [, closed, opened, rest = ''] = match;
    if (opened !== undefined) {
      const element = readTag(opened, rest, { start, end: position }, text);
      if (open.length === 0 && root !== null) refuse(text, start);
      if (open.length === DEPTH_MAX) throw new ConfigError('it is nested too deeply');
      open.at(-1)?.children.push(element);
      root ??= element;
      if (!element.isEmptyTag) open.push(element);
    } else if (closed !== undefined) {
      const element = open.pop();
      if (element?.name !== closed) refuse(text, start);
      element.content.end = start;
    } else if (match[0].startsWith('<![') && open.length === 0) refuse(text, start);
  }
  if (open.length > 0) refuse(text, text.length);
  return root;
}

function readTag(name: string, rest: string, tag: Span, text: string): XmlElement {
  const isEmptyTag = rest.endsWith('/');
  const attributes: XmlAttribute[] = [];
  const restStart = tag.start + 1 + name.length;
  const restEnd = tag.end - (isEmptyTag ? 2 : 1);
  let position = restStart;
  for (;;) {
    ATTRIBUTE.lastIndex = position;
    const match = ATTRIBUTE.exec(text);
    if (match === null || position + match[0].length > restEnd) break;
    const [whole, attribute = '', double, single] = match;
    const raw = double ?? single ?? '';
    position += whole.length;
    const span = { start: position - 1 - raw.length, end: position - 1 };
    attributes.push({ name: attribute, value: decodeXml(raw), span });
  }
  const names = new Set(attributes.map((attribute) => attribute.name));
  const isRight = XML_NAME.test(name) && names.size === attributes.length;
  if (!isRight || text.slice(position, restEnd).trim() !== '') refuse(text, tag.start);
  return { name, attributes, children: [], tag, isEmptyTag, content: { start: tag.end, end: tag.end } };
}

function checkText(text: string, isInside: boolean) {
  if (!isInside && text.trim() !== '')
    throw new ConfigError('it is not valid XML (text outside of the root)');
  decodeXml(text);
}

/** @throws ConfigError for an entity that only a type declaration could define. */
export function decodeXml(text: string): string {
  return text.replaceAll(
    /&(?:#(\d{1,7})|#x([0-9a-fA-F]{1,6})|(\w{1,32}))?;?/g,
    (whole, decimal, hex, name) => {
      const character = name === undefined ? fromCode(decimal, hex) : ENTITIES[name];
      if (character === undefined || !whole.endsWith(';'))
        throw new ConfigError(`it is not valid XML (${whole})`);
      return character;
    },
  );
}

function fromCode(decimal: string | undefined, hex: string | undefined): string | undefined {
  const code = decimal === undefined ? Number.parseInt(hex ?? '', 16) : Number(decimal);
  return code > 0 && code <= 0x10_ff_ff ? String.fromCodePoint(code) : undefined;
}

const NAMES: Record<string, string> = { '<': '&lt;', '>': '&gt;', '&': '&amp;', '"': '&quot;' };

/** For texts and attributes. Characters that XML cannot hold at all are left out. */
export function encodeXml(text: string): string {
  return text.replaceAll(/[<>&"\uFFFE\uFFFF]|\p{Cc}/gu, (character) => {
    const reference = '\t\r\n'.includes(character) ? `&#${character.charCodeAt(0)};` : '';
    return NAMES[character] ?? reference;
  });
}

function refuse(text: string, position: number): never {
  if (text.startsWith('<!DOCTYPE', position))
    throw new ConfigError('it has a document type, which is not supported');
  const line = text.slice(0, position).split('\n').length;
  throw new ConfigError(`it is not valid XML (line ${line})`);
}
