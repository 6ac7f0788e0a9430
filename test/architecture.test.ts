import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';

const ROOT = path.resolve(import.meta.dirname, '..');

/** A folder of the import table in the README: who it is, and whose code (`values`) or types it may import. */
interface Rule {
  name: string;
  files: RegExp;
  values: RegExp[];
  types: RegExp[];
}

const protocol = /^src\/protocol\//;
const lib = /^src\/lib\//;
const generatedTypes = /^src\/generated\/prisma\//;
const outletTypes = [
  /^src\/database\//,
  /^src\/events\.ts$/,
  /^src\/gateway\/(gateway|connection|files)\.ts$/,
  generatedTypes,
];
const anything = [/^src\//];

/** The HTTP doors of a module: one, or one for each concern. */
const ROUTES = /^src\/modules\/[^/]+\/([a-z-]+\/)?([a-z]+-)*routes\.ts$/;

/** The first rule whose pattern matches a file is its rule. */
const RULES: Rule[] = [
  { name: 'protocol', files: /^src\/protocol\//, values: [protocol], types: [protocol] },
  { name: 'lib', files: /^src\/lib\//, values: [lib], types: [lib] },
  { name: 'config', files: /^src\/(config|keys)\.ts$/, values: [lib, /^src\/config\.ts$/], types: [lib] },
  {
    name: 'outlets: database, events',
    files: /^src\/(database\/|events\.ts$)/,
    values: [protocol, lib, /^src\/database\//, generatedTypes],
    types: [protocol, lib, /^src\/config\.ts$/],
  },
  {
    name: 'outlet to agents',
    files: /^src\/gateway\/(gateway|connection)\.ts$/,
    values: [protocol, lib, /^src\/gateway\//],
    types: [protocol, lib],
  },
  {
    name: 'http',
    files: /^src\/http\//,
    values: [lib, /^src\/http\//],
    types: [lib, /^src\/modules\/auth\//, /^src\/database\//, /^src\/config\.ts$/],
  },
  {
    name: 'module routes',
    files: ROUTES,
    values: [lib, /^src\/http\//],
    types: [lib, /^src\/config\.ts$/],
  },
  {
    name: 'module services',
    files: /^src\/modules\//,
    values: [protocol, lib],
    types: [protocol, lib, /^src\/modules\//, /^src\/config\.ts$/, ...outletTypes],
  },
  {
    name: 'doors',
    files: /^src\/(gateway|realtime|sftp)\//,
    values: [protocol, lib],
    types: [protocol, lib, /^src\/context\.ts$/, /^src\/modules\//, ...outletTypes],
  },
  { name: 'wiring', files: /^src\/[^/]+\.ts$/, values: anything, types: anything },
  { name: 'agent', files: /^agent\//, values: [protocol, /^agent\//], types: [protocol, /^agent\//] },
];

interface Import {
  from: string;
  to: string;
  isType: boolean;
}

function sourceFiles(folder: string): string[] {
  return readdirSync(path.join(ROOT, folder), { recursive: true, encoding: 'utf8' })
    .map((file) => path.posix.join(folder, file.split(path.sep).join('/')))
    .filter((file) => file.endsWith('.ts') && !file.startsWith('src/generated/'));
}

/** Relative imports and re-exports, static and dynamic, of one file. */
function importsOf(file: string): Import[] {
  const text = readFileSync(path.join(ROOT, file), 'utf8');
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s+(type\s)?[^'";]*?from\s+'(\.[^']+)'|import\(\s*'(\.[^']+)'\s*\)/g;
  return [...text.matchAll(pattern)].map((match) => ({
    from: file,
    to: path.posix.join(path.posix.dirname(file), match[2] ?? match[3] ?? '').replace(/\.js$/, '.ts'),
    isType: match[1] !== undefined,
  }));
}

/** A module, or a door, with folders of its own is still one folder. */
function ownFolder(file: string): string {
  return /^src\/(modules\/[^/]+|gateway)/.exec(file)?.[0] ?? path.posix.dirname(file);
}

function isAllowed(found: Import): boolean {
  const rule = RULES.find((candidate) => candidate.files.test(found.from));
  if (!rule) return false;
  if (ownFolder(found.to) === ownFolder(found.from) && !rule.name.startsWith('wiring')) {
    // Within one folder everybody may import everybody, except services their own HTTP door.
    return !ROUTES.test(found.to) || ROUTES.test(found.from);
  }
  const allowed = found.isType ? [...rule.values, ...rule.types] : rule.values;
  return allowed.some((pattern) => pattern.test(found.to));
}

const imports = [...sourceFiles('src'), ...sourceFiles('agent')].flatMap(importsOf);

test('every import follows the import table in the README', () => {
  const broken = imports.filter((found) => !isAllowed(found));
  expect(broken.map((found) => `${found.from} → ${found.to}${found.isType ? ' (type)' : ''}`)).toEqual([]);
});

test('the import table sees the imports that there are', () => {
  expect(imports.length).toBeGreaterThan(100);
  expect(isAllowed({ from: 'agent/link.ts', to: 'src/lib/errors.ts', isType: false })).toBe(false);
  expect(
    isAllowed({ from: 'src/modules/nodes/service.ts', to: 'src/modules/servers/service.ts', isType: false }),
  ).toBe(false);
  expect(
    isAllowed({ from: 'src/modules/nodes/service.ts', to: 'src/modules/servers/service.ts', isType: true }),
  ).toBe(true);
});

test('the wire contract imports nothing but zod', () => {
  const packages = sourceFiles('src/protocol').flatMap((file) => {
    const text = readFileSync(path.join(ROOT, file), 'utf8');
    return [...text.matchAll(/from\s+'([^.'][^']*)'/g)].map((match) => match[1]);
  });
  expect(new Set(packages)).toEqual(new Set(['zod']));
});

test('no source file is longer than 300 lines', () => {
  const long = [...sourceFiles('src'), ...sourceFiles('agent')]
    .map((file) => ({ file, lines: readFileSync(path.join(ROOT, file), 'utf8').split('\n').length }))
    .filter(({ lines }) => lines > 301);
  expect(long).toEqual([]);
});
