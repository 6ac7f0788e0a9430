/** What no honest client sends for a field, but some client will. `missing` takes the field away. */
export const BAD_VALUES: readonly { name: string; value?: unknown }[] = [
  { name: 'missing' },
  { name: 'null', value: null },
  { name: 'a number', value: 7 },
  { name: 'a text', value: 'catalyst' },
  { name: 'a number as text', value: '4096' },
  { name: 'true', value: true },
  { name: '{}', value: {} },
  { name: '[]', value: [] },
  { name: '[null]', value: [null] },
  { name: 'nothing', value: '' },
  { name: 'too long', value: 'x'.repeat(200_000) },
  { name: 'NUL', value: 'a\0b' },
  { name: 'half a character', value: 'a\ud800b' },
  { name: '__proto__', value: JSON.parse('{"__proto__": {"isAdmin": true}}') },
  { name: 'constructor', value: { constructor: { prototype: { isAdmin: true } } } },
  { name: 'a negative number', value: -1 },
  { name: 'a fraction', value: 1.5 },
  { name: '2^31', value: 2 ** 31 },
  { name: '2^53+1', value: 2 ** 53 + 2 },
  { name: '1e308', value: 1e308 },
];

/** For pieces of a path and of a query: written as they travel. */
export const BAD_PIECES: readonly string[] = [
  '%00',
  '%ED%A0%80',
  '..%2F..%2Fetc%2Fpasswd',
  '__proto__',
  'constructor',
  "'%20OR%201=1--",
  '-1',
  '1.5',
  '2147483648',
  '9007199254740993',
  '%F0%9F%98%80',
  'x'.repeat(400),
];

/** The same body with one field changed; `path` leads through objects and arrays. */
export function withField(body: unknown, path: readonly string[], bad: { name: string; value?: unknown }) {
  const copy = structuredClone(body) as Record<string, unknown>;
  let parent = copy;
  for (const key of path.slice(0, -1)) parent = parent[key] as Record<string, unknown>;
  const last = path.at(-1) ?? '';
  if (bad.name === 'missing') delete parent[last];
  else parent[last] = bad.value;
  return copy;
}

const DEPTH_MAX = 4;

/** The paths of all fields of a body: `['variables', '0', 'name']`. */
export function fieldsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== 'object' || value === null || path.length >= DEPTH_MAX) return [];
  // One item of a list stands for all of them.
  const entries = Array.isArray(value)
    ? value.slice(0, 1).map((item) => ['0', item] as const)
    : Object.entries(value);
  return entries.flatMap(([key, child]) => [[...path, key], ...fieldsOf(child, [...path, key])]);
}
