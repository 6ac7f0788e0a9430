import { type JsonNode, parseJson } from './json-document.js';
import { applySplices, lineEndOf, type Splice } from './text.js';
import { checkTree, type NewNode, planTree } from './tree.js';
import type { ConfigValues } from './values.js';

const INDENT_DEFAULT = '  ';

/** Paths as in `parseKeyPath`; types as in `typedLike`. Order, indentation and comments stay. */
export function applyToJson(text: string, values: ConfigValues): string {
  if (text.trim() === '') {
    const changed = applyToJson('{}', values);
    return changed === '{}' ? text : `${changed}\n`;
  }
  const root = parseJson(text);
  const plan = planTree(root, values);
  const style = { lineEnd: lineEndOf(text), unit: unitOf(text) };
  const splices: Splice[] = [];
  for (const [{ source }, node] of plan.replaced) {
    splices.push({ ...source, text: render(node, indentAt(text, source.start), style) });
  }
  for (const [parent, added] of plan.addedEntries) {
    const entries = [...added].map(([name, node]) => ({ label: `${JSON.stringify(name)}: `, node }));
    splices.push(insertInto({ text, parent, children: [...parent.entries.values()], added: entries, style }));
  }
  for (const [parent, added] of plan.addedItems) {
    const items = added.map((node) => ({ label: '', node }));
    splices.push(insertInto({ text, parent, children: parent.items, added: items, style }));
  }
  if (splices.length === 0) return text;
  const changed = applySplices(text, splices);
  checkTree(parseJson(changed), plan);
  return changed;
}

interface Style {
  lineEnd: string;
  /** One step of indentation. */
  unit: string;
}

interface Insertion {
  text: string;
  parent: JsonNode;
  children: JsonNode[];
  added: { label: string; node: NewNode }[];
  style: Style;
}

function insertInto({ text, parent, children, added, style }: Insertion): Splice {
  const { start, end } = parent.source;
  const last = children.at(-1);
  const outer = indentAt(text, start);
  if (last === undefined) {
    const inner = `${style.lineEnd}${outer}${style.unit}`;
    const lines = added.map(({ label, node }) => inner + label + render(node, outer + style.unit, style));
    const isBlank = text.slice(start + 1, end - 1).trim() === '';
    const content = lines.join(',') + (isBlank ? style.lineEnd + outer : '');
    return { start: start + 1, end: isBlank ? end - 1 : start + 1, text: content };
  }
  const isOnLines = text.slice(start, children[0]?.source.start).includes('\n');
  const indent = isOnLines ? indentAt(text, last.source.end) : outer;
  const lines = added.map(
    ({ label, node }) =>
      (isOnLines ? `,${style.lineEnd}${indent}` : ', ') + label + render(node, indent, style),
  );
  return { start: last.source.end, end: last.source.end, text: lines.join('') };
}

function render(node: NewNode, indent: string, style: Style): string {
  if (!(node instanceof Map) && !Array.isArray(node)) return JSON.stringify(node);
  const inner = indent + style.unit;
  const lines = Array.isArray(node)
    ? node.map((item) => inner + render(item, inner, style))
    : [...node].map(([name, value]) => `${inner}${JSON.stringify(name)}: ${render(value, inner, style)}`);
  const [opening, closing] = Array.isArray(node) ? ['[', ']'] : ['{', '}'];
  return [opening, lines.join(`,${style.lineEnd}`), indent + closing].join(style.lineEnd);
}

/** The blanks that the line of this place begins with. */
function indentAt(text: string, position: number): string {
  const lineStart = text.lastIndexOf('\n', position - 1) + 1;
  return /^[ \t]*/.exec(text.slice(lineStart, position))?.[0] ?? '';
}

function unitOf(text: string): string {
  return /\n([ \t]+)["[{]/.exec(text)?.[1] ?? INDENT_DEFAULT;
}
