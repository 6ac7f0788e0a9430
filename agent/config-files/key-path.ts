import { ConfigError } from './values.js';

/** One step into a tree of maps and lists; `each` is every entry there is. */
export type Step = { kind: 'key'; name: string } | { kind: 'index'; index: number } | { kind: 'each' };

const PART = /^(?<name>[^[\]]*)(?<indexes>(?:\[\d{1,6}\])*)$/;

/** `a.b`, `a[0].b`, `a.*.b`. A name with a dot in it is written with `~1` in its place, and `~0` is a tilde. */
export function parseKeyPath(path: string): Step[] {
  return path.split('.').flatMap((part): Step[] => {
    const groups = PART.exec(part)?.groups;
    const { name = part, indexes = '' } = groups ?? {};
    if (name === '' && indexes === '') throw new ConfigError(`"${path}" is no path of keys`);
    const steps = Array.from(
      indexes.matchAll(/\d+/g),
      ([index]): Step => ({ kind: 'index', index: Number(index) }),
    );
    if (name === '') return steps;
    const first: Step = name === '*' ? { kind: 'each' } : { kind: 'key', name: decode(name) };
    return [first, ...steps];
  });
}

function decode(name: string): string {
  return name.replaceAll('~1', '.').replaceAll('~0', '~');
}
