import { type Document, isAlias, isMap, isNode, isScalar, isSeq, type Node, parseDocument } from 'yaml';
import type { TreeNode } from './tree.js';
import { ConfigError } from './values.js';

/** Where a node stands in the text, and how. */
export interface YamlSource {
  start: number;
  /** Behind the value; for a block of lines, behind its last line end. */
  end: number;
  /** Of the map or list that it is, or else is in: how far to the right its entries begin. */
  column: number;
  isFlow: boolean;
  /** The quotes of a scalar; empty: none. */
  quote: '"' | "'" | '';
  /** It is all that the file holds. */
  isDocument: boolean;
}
export type YamlNode = TreeNode<YamlSource>;

const DEPTH_MAX = 200;
/** Booleans of YAML 1.1, which many games still read. */
const OLDER_BOOLEAN = /^(?:yes|no|on|off)$/i;

/** @throws ConfigError where the text is not one YAML document. */
export function parseYaml(text: string): YamlNode {
  // With unique keys looked for, the time would grow with the square of their number.
  const document = parseDocument(text, { uniqueKeys: false, logLevel: 'silent' });
  const [error] = document.errors;
  if (error !== undefined) {
    const line = error.linePos?.[0].line;
    throw new ConfigError(`it is not valid YAML${line === undefined ? '' : ` (line ${line})`}`);
  }
  return toTree(document, text);
}

function toTree(document: Document.Parsed, text: string): YamlNode {
  const nowhere = {
    start: text.length,
    end: text.length,
    column: 0,
    isFlow: false,
    quote: '',
    isDocument: true,
  } as const;

  function convert(node: unknown, around: YamlSource, depth: number): YamlNode {
    if (depth > DEPTH_MAX) throw new ConfigError('it is nested too deeply');
    if (!isNode(node)) return { kind: 'scalar', value: null, source: around };
    const source = sourceOf(node, around, text);
    if (isMap(node)) {
      const entries = node.items.flatMap(({ key, value }): [string, YamlNode][] =>
        isScalar(key)
          ? [[String(key.value), convert(value, { ...source, isDocument: false }, depth + 1)]]
          : [],
      );
      return { kind: 'map', entries: new Map(entries), source };
    }
    if (isSeq(node)) {
      return {
        kind: 'list',
        items: node.items.map((item) => convert(item, { ...source, isDocument: false }, depth + 1)),
        source,
      };
    }
    return { kind: 'scalar', value: scalarValue(node), source };
  }

  return convert(document.contents, nowhere, 0);
}

function sourceOf(node: Node, around: YamlSource, text: string): YamlSource {
  const [start, end] = node.range ?? [around.start, around.end];
  const isCollection = isMap(node) || isSeq(node);
  const isFlow = around.isFlow || (isCollection && node.flow === true);
  const column = isCollection ? start - (text.lastIndexOf('\n', start - 1) + 1) : around.column;
  const first = text[start];
  const isQuoted = isScalar(node) && (node.type === 'QUOTE_DOUBLE' || node.type === 'QUOTE_SINGLE');
  const quote = isQuoted && (first === '"' || first === "'") ? first : '';
  return { ...around, start, end, column, isFlow, quote };
}

function scalarValue(node: Node): string | number | boolean | null {
  if (isAlias(node)) return `*${node.source}`;
  const value: unknown = isScalar(node) ? node.value : null;
  if (isScalar(node) && node.type === 'PLAIN' && typeof value === 'string' && OLDER_BOOLEAN.test(value)) {
    return /^(?:yes|on)$/i.test(value);
  }
  return typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean' ? value : null;
}
