import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { applyToJson } from '../../agent/config-files/json.js';
import { ConfigError } from '../../agent/config-files/values.js';
import { applyToXml } from '../../agent/config-files/xml.js';
import { applyToYaml } from '../../agent/config-files/yaml.js';

const name = fc.stringMatching(/^[a-z][a-z0-9 :#-]{0,6}[a-z]$/);
const scalar = fc.oneof(
  fc.string(),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
  fc.string({ unit: 'binary' }),
);
const { tree } = fc.letrec<{ tree: unknown; map: Record<string, unknown> }>((tie) => ({
  tree: fc.oneof({ depthSize: 'small' }, scalar, tie('map'), fc.array(tie('tree'), { maxLength: 3 })),
  map: fc.dictionary(name, tie('tree'), { maxKeys: 4, noNullPrototype: true }),
}));
const map = fc.dictionary(name, tree, { minKeys: 1, maxKeys: 4, noNullPrototype: true });
const path = fc.array(name, { minLength: 1, maxLength: 3 });

/** What is left when the value at the path is taken out, and the maps on the way that are empty then. */
function without(value: unknown, [first, ...rest]: string[]): unknown {
  if (first === undefined) return undefined;
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  const { [first]: child, ...others } = value as Record<string, unknown>;
  const left = without(child, rest);
  const isEmpty = typeof left === 'object' && left !== null && Object.keys(left).length === 0;
  return left === undefined || left === null || isEmpty ? others : { ...others, [first]: left };
}

function valueAt(value: unknown, steps: string[]): unknown {
  return steps.reduce<unknown>(
    (found, step) => (found as Record<string, unknown> | undefined)?.[step],
    value,
  );
}

test.each([
  ['JSON on lines', applyToJson, (value: unknown) => JSON.stringify(value, null, 2), JSON.parse],
  ['JSON on one line', applyToJson, (value: unknown) => JSON.stringify(value), JSON.parse],
  ['YAML', applyToYaml, (value: unknown) => stringify(value), (text: string) => parse(text)],
  [
    'YAML with long lines',
    applyToYaml,
    (value: unknown) => stringify(value, { lineWidth: 0, indent: 4 }),
    (text: string) => parse(text),
  ],
  [
    'YAML in brackets',
    applyToYaml,
    (value: unknown) => stringify(value, { collectionStyle: 'flow' }),
    (text: string) => parse(text),
  ],
])('%s: only the value that is to be set changes, whatever is in the file', (_, apply, write, read) => {
  fc.assert(
    fc.property(
      map,
      path,
      fc.nat(7),
      fc.oneof(fc.string(), fc.boolean(), fc.integer()),
      (content, names, pick, value) => {
        const before = write(content);
        // Half of the time below something that is there.
        const steps = [Object.keys(content)[pick] ?? names[0] ?? '', ...names.slice(1)];
        let after: string;
        try {
          after = apply(before, { [steps.join('.')]: value });
        } catch (error) {
          if (error instanceof ConfigError) return;
          throw error;
        }
        expect(String(valueAt(read(after), steps))).toBe(String(value));
        expect(without(read(after), steps)).toEqual(without(read(before), steps));
        expect(apply(after, { [steps.join('.')]: value })).toBe(after);
      },
    ),
    { numRuns: 400 },
  );
});

test('XML: any text, in an element or an attribute, leaves the document well-formed and everything else in place', () => {
  const before = '<r a="1">\n  <b/>\n  <!-- c --><d>x</d>\n</r>\n';
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const after = applyToXml(before, { 'r.b': text, 'r.d': `[v='${text}']`, 'r.e': '5' });
      expect(applyToXml(after, { 'r.b': '-', 'r.d': "[v='-']" })).toContain(
        '<b>-</b>\n  <!-- c --><d v="-">x</d>\n  <e>5</e>\n</r>\n',
      );
    }),
  );
});
