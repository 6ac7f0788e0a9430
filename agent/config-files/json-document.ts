import type { TreeNode } from './tree.js';
import { ConfigError } from './values.js';

/** Where a value stands in the text. */
export interface JsonSource {
  start: number;
  end: number;
}
export type JsonNode = TreeNode<JsonSource>;

const DEPTH_MAX = 200;
/** Comments and trailing commas are not JSON, but games write and read them. */
const BLANK = /(?:\s+|\/\/[^\n]*|\/\*.*?\*\/)*/sy;
/** What is in it is left to `JSON.parse`. */
const STRING = /"[^"\\]*(?:\\.[^"\\]*)*"/y;
const LITERAL = /true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y;

/** @throws ConfigError where the text is not JSON. */
export function parseJson(text: string): JsonNode {
  let position = 0;

  function take(pattern: RegExp): string | null {
    pattern.lastIndex = position;
    const match = pattern.exec(text)?.[0] ?? null;
    if (match !== null) position += match.length;
    return match;
  }

  function takeCharacter(character: string): boolean {
    take(BLANK);
    if (text[position] !== character) return false;
    position += 1;
    return true;
  }

  function require<Found>(found: Found | null): Found {
    if (found !== null) return found;
    const line = text.slice(0, position).split('\n').length;
    throw new ConfigError(`it is not valid JSON (line ${line})`);
  }

  function parseToken(token: string | null) {
    try {
      return JSON.parse(token ?? '');
    } catch {
      return require(null);
    }
  }

  function parseValue(depth: number): JsonNode {
    take(BLANK);
    const start = position;
    if (depth > DEPTH_MAX) throw new ConfigError('it is nested too deeply');
    if (takeCharacter('{')) {
      const entries = new Map<string, JsonNode>();
      takeAll('}', () => {
        const key = parseToken(take(STRING));
        require(takeCharacter(':') || null);
        entries.set(key, parseValue(depth + 1));
      });
      return { kind: 'map', entries, source: { start, end: position } };
    }
    if (takeCharacter('[')) {
      const items: JsonNode[] = [];
      takeAll(']', () => items.push(parseValue(depth + 1)));
      return { kind: 'list', items, source: { start, end: position } };
    }
    const value = parseToken(take(STRING) ?? take(LITERAL));
    return { kind: 'scalar', value, source: { start, end: position } };
  }

  function takeAll(closing: string, takeOne: () => void) {
    while (!takeCharacter(closing)) {
      takeOne();
      if (takeCharacter(',')) continue;
      require(takeCharacter(closing) || null);
      return;
    }
  }

  const root = parseValue(0);
  take(BLANK);
  require(position === text.length || null);
  return root;
}
