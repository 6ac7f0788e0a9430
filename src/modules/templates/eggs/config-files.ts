import type { ConfigValue, TemplateColumns } from '../../../lib/stored-template.js';
import { configPatternProblem } from '../config-pattern.js';
import { createEggObject, type EggObject } from './egg-object.js';
import { parseInnerJson } from './inner-json.js';
import type { Placeholders } from './placeholders.js';
import { type Report, refuse } from './report.js';

type ConfigFile = TemplateColumns['configFiles'][number];
type FieldValue = ConfigFile['values'][string];

const FILES_MAX = 50;
const KEY_MAX_LENGTH = 200;
const PATH_MAX_LENGTH = 256;
const PARSERS: Readonly<Record<string, ConfigFile['parser']>> = {
  file: 'file',
  properties: 'properties',
  ini: 'ini',
  yaml: 'yaml',
  yml: 'yaml',
  json: 'json',
  xml: 'xml',
};

interface Tools {
  placeholders: Placeholders;
  report: Report;
}

/** `config.files`: path → `{ parser, find: { key: value, or { current value: value } } }`. */
export function readConfigFiles(config: EggObject, tools: Tools): ConfigFile[] {
  const place = config.place('files');
  const files = createEggObject(parseInnerJson(config.take('files'), place), place);
  return files.rest().flatMap(([path, value], index) => {
    const file = readFile(createEggObject(value, `${place}.${path}`), path, tools);
    if (file && index < FILES_MAX) return [file];
    if (file) tools.report.warn(`${place}.${path}`, `left out: only the first ${FILES_MAX} files are taken`);
    return [];
  });
}

function readFile(file: EggObject, path: string, { placeholders, report }: Tools): ConfigFile | null {
  const place = file.place('find');
  const name = file.text('parser');
  const parser = Object.hasOwn(PARSERS, name) ? PARSERS[name] : undefined;
  const find = file.object('find').rest();
  // Files that are not there are made, here as there, unless this says no.
  if (!file.flag('create_file', true)) {
    report.warn(file.place('create_file'), 'has no counterpart here: the file is made when it is not there');
  }
  file.reportRest(report);
  const problem = parser ? pathProblem(path) : `there is no parser "${name}" here`;
  if (!parser || problem) {
    report.warn(file.place('parser'), `the file is left out: ${problem}`);
    return null;
  }
  const values = find.flatMap(([key, value]): [string, FieldValue][] => {
    const translated = readValue(value, `${place}.${key}`, { placeholders, report });
    if (translated === null) return [];
    if (key.length <= KEY_MAX_LENGTH) return [[key, translated]];
    report.warn(`${place}.${key}`, `left out: the key has more than ${KEY_MAX_LENGTH} characters`);
    return [];
  });
  return values.length === 0 ? null : { path, parser, values: Object.fromEntries(values) };
}

function pathProblem(path: string): string | null {
  if (path === '' || path.length > PATH_MAX_LENGTH) return `paths have 1 to ${PATH_MAX_LENGTH} characters`;
  return path.split('/').includes('..') ? 'the path leaves the directory of the server' : null;
}

function readValue(value: unknown, place: string, tools: Tools): FieldValue | null {
  if (typeof value !== 'object' || value === null) return readSingle(value, place, tools);
  if (Array.isArray(value)) return leaveOut(place, 'lists cannot be set here', tools);
  const cases = Object.entries(value).flatMap(([current, replacement]): [string, ConfigValue][] => {
    const problem = configPatternProblem(current);
    if (problem) {
      leaveOut(`${place}.${current}`, problem, tools);
      return [];
    }
    const translated = readSingle(replacement, `${place}.${current}`, tools);
    return translated === null ? [] : [[current, translated]];
  });
  return cases.length === 0 ? null : Object.fromEntries(cases);
}

function readSingle(value: unknown, place: string, tools: Tools): ConfigValue | null {
  if (typeof value === 'string') return tools.placeholders.translate(value, place);
  if (typeof value === 'number' || typeof value === 'boolean') return value;
  if (value === null) return leaveOut(place, 'null cannot be set here', tools);
  return refuse(place, 'must be text, a number or a boolean');
}

function leaveOut(place: string, reason: string, { report }: Tools): null {
  report.warn(place, `left out: ${reason}`);
  return null;
}
