import { stringify } from 'yaml';
import type { ConfigValue } from '../../src/protocol/server-specification.js';
import { applySplices, lineEndOf, type Splice } from './text.js';
import { checkTree, type ListNode, type MapNode, type NewNode, planTree } from './tree.js';
import type { ConfigValues } from './values.js';
import { parseYaml, type YamlNode, type YamlSource } from './yaml-document.js';

const UNIT = '  ';

/**
 * Paths as in `parseKeyPath`; types as in `typedLike`. Only the values themselves are replaced in the text, and new
 * lines put in: comments, order, quotes and indentation stay.
 */
export function applyToYaml(text: string, values: ConfigValues): string {
  const root = parseYaml(text);
  const plan = planTree(root, values);
  const lineEnd = lineEndOf(text);
  const splices: Splice[] = [];
  for (const [{ source }, node] of plan.replaced) {
    if (node instanceof Map || Array.isArray(node))
      splices.push(...putCollection(text, source, node, lineEnd));
    else splices.push(putScalar(text, source, node));
  }
  for (const [parent, added] of plan.addedEntries) {
    splices.push(insert({ text, parent, children: [...parent.entries.values()], added, lineEnd }));
  }
  for (const [parent, added] of plan.addedItems) {
    splices.push(insert({ text, parent, children: parent.items, added, lineEnd }));
  }
  if (splices.length === 0) return text;
  const changed = applySplices(text, splices);
  checkTree(parseYaml(changed), plan);
  return changed;
}

function putScalar(text: string, source: YamlSource, node: NewNode): Splice {
  const { start, end } = source;
  const old = text.slice(start, end);
  // A block of lines ends with its last line.
  const lineEnd = /\r?\n$/.exec(old)?.[0] ?? '';
  const needsBlank = start > 0 && /[^\s[{(]/.test(text[start - 1] ?? '');
  return { start, end, text: (needsBlank ? ' ' : '') + renderInline(node, source) + lineEnd };
}

/** Where there was nothing, or null. */
function putCollection(text: string, source: YamlSource, node: NewNode, lineEnd: string): Splice[] {
  if (source.isFlow) return [putScalar(text, source, node)];
  const indent = source.isDocument ? '' : ' '.repeat(source.column) + UNIT;
  const { position, isUnended } = lineBehind(text, source.end);
  const lines = renderLines(node, indent).join(lineEnd) + lineEnd;
  return [
    { start: source.start, end: source.end, text: '' },
    { start: position, end: position, text: (isUnended ? lineEnd : '') + lines },
  ];
}

interface Insertion {
  text: string;
  parent: MapNode<YamlSource> | ListNode<YamlSource>;
  children: YamlNode[];
  added: NewNode;
  lineEnd: string;
}

function insert({ text, parent, children, added, lineEnd }: Insertion): Splice {
  const { source } = parent;
  const last = children.at(-1);
  if (source.isFlow) {
    const position = last === undefined ? source.start + 1 : last.source.end;
    const inner = renderInline(added, source).slice(1, -1);
    return { start: position, end: position, text: last === undefined ? inner : `, ${inner}` };
  }
  const { position, isUnended } = lineBehind(text, endOf(parent));
  const lines = renderLines(added, ' '.repeat(source.column)).join(lineEnd);
  return {
    start: position,
    end: position,
    text: isUnended ? lineEnd + lines : lines + lineEnd,
  };
}

/** Behind the last thing that is in it. */
function endOf(node: YamlNode): number {
  if (node.kind === 'scalar' || node.source.isFlow) return node.source.end;
  const children = node.kind === 'map' ? [...node.entries.values()] : node.items;
  return Math.max(node.source.start, ...children.slice(-1).map(endOf));
}

/** The start of the line behind the one in which the position is; a block of lines ends at the start of one. */
function lineBehind(text: string, position: number): { position: number; isUnended: boolean } {
  if (position === 0 || text[position - 1] === '\n') return { position, isUnended: false };
  const next = text.indexOf('\n', position);
  if (next !== -1) return { position: next + 1, isUnended: false };
  return { position: text.length, isUnended: true };
}

function renderLines(node: NewNode, indent: string): string[] {
  if (Array.isArray(node)) {
    return node.flatMap((item) => {
      if (!(item instanceof Map) && !Array.isArray(item)) return [`${indent}- ${renderScalar(item, false)}`];
      const [first = '', ...lines] = renderLines(item, indent + UNIT);
      return [`${indent}- ${first.trimStart()}`, ...lines];
    });
  }
  if (!(node instanceof Map)) return [indent + renderScalar(node, false)];
  return [...node].flatMap(([name, value]) => {
    const key = indent + renderScalar(name, false);
    if (value instanceof Map || Array.isArray(value))
      return [`${key}:`, ...renderLines(value, indent + UNIT)];
    return [`${key}: ${renderScalar(value, false)}`];
  });
}

/** Between brackets, or alone in the place of another value. */
function renderInline(node: NewNode, { isFlow, quote }: Pick<YamlSource, 'isFlow' | 'quote'>): string {
  const inner = { isFlow: true, quote: '' } as const;
  if (Array.isArray(node)) return `[${node.map((item) => renderInline(item, inner)).join(', ')}]`;
  if (node instanceof Map) {
    const entries = [...node].map(
      ([name, value]) => `${renderScalar(name, true)}: ${renderInline(value, inner)}`,
    );
    return `{${entries.join(', ')}}`;
  }
  if (typeof node !== 'string' || quote === '') return renderScalar(node, isFlow);
  const isSimple = /^[\x20-\x7E\u00A0-\uD7FF\uE000-\uFEFE]*$/.test(node);
  return quote === "'" && isSimple ? `'${node.replaceAll("'", "''")}'` : JSON.stringify(node);
}

/** Such that also a reader of YAML 1.1, which takes more words for booleans and numbers, finds the same value. */
function renderScalar(value: ConfigValue, isFlow: boolean): string {
  if (typeof value !== 'string') return String(value);
  const text = stringify(value, { compat: 'yaml-1.1', lineWidth: 0 }).trimEnd();
  const isPlain = !text.includes('\n') && !/^[|>]/.test(text);
  return isPlain && (!isFlow || /^[\w./-]+$/.test(text)) ? text : JSON.stringify(value);
}
