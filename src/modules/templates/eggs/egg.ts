import type { TemplateColumns, TemplateVariable } from '../../../lib/stored-template.js';
import { readConfigFiles } from './config-files.js';
import { readDetection } from './detection.js';
import { createEggObject, type EggObject, isEmpty } from './egg-object.js';
import { readFeatures } from './features.js';
import { readImages } from './images.js';
import { readInstallation } from './installation.js';
import { createPlaceholders, EGG_ENVIRONMENT } from './placeholders.js';
import { createReport, cut, type Report, refuse } from './report.js';
import { readStartup } from './startup.js';
import { readStop } from './stop.js';
import { readVariables } from './variables.js';

const FORMATS = new Set(['PTDL_v1', 'PTDL_v2', 'PLCN_v1', 'PLCN_v2', 'PLCN_v3']);
const NAME_MAX_LENGTH = 100;
const DESCRIPTION_MAX_LENGTH = 2000;
/** Where images of eggs have the server's directory, and work as a user without rights. */
const DATA_PATH = '/home/container';

/**
 * What a template's environment has, the user of a server may set otherwise, unless it is a variable that he may not
 * edit. This one is run by a shell.
 */
const STARTUP_VARIABLE: TemplateVariable = {
  name: 'STARTUP',
  description:
    'The start command for images that run it themselves. It is in the environment of the template.',
  default: null,
  required: false,
  userEditable: false,
  rules: [],
};

export interface ImportedEgg {
  /** Of a template; not checked yet. */
  fields: Record<string, unknown>;
  warnings: string[];
  format: string;
}

/** Whether it says that it is an egg of a kind which `importEgg` reads. */
export function isEgg(document: Readonly<Record<string, unknown>>): boolean {
  return FORMATS.has(formatOf(document));
}

/**
 * An egg of Pterodactyl or Pelican as a template. Whatever of it has no counterpart here is in the warnings.
 * Throws `template.import_failed` when something is not what such a file has there, naming the place.
 */
export function importEgg(document: Readonly<Record<string, unknown>>): ImportedEgg {
  const report = createReport();
  const egg = createEggObject(document, '');
  const meta = egg.object('meta');
  const config = egg.object('config');
  // Nothing is lost with these two.
  egg.take('_comment');
  meta.take('version');

  const variables = readVariables(egg, report);
  const declared = new Set(variables.map(({ name }) => name));
  const placeholders = createPlaceholders(declared, report);
  const { line, startCommand, others } = readStartup(egg, placeholders, report);
  const configFiles = readConfigFiles(config, { placeholders, report });
  const facts = readFeatures(egg, meta, config, report);
  const fields = {
    name: readName(egg, report),
    description: readDescription(egg, report),
    ...readImages(egg, report),
    startCommand,
    ...readStop(config, placeholders, report),
    environment: environmentFor(line, declared),
    variables: line === '' ? variables : [...variables, STARTUP_VARIABLE],
    features: {
      ...quickLinks(configFiles),
      egg: { format: formatOf(document), ...facts, ...(!isEmpty(others) && { startupCommands: others }) },
    },
    configFiles,
    ...readInstallation(egg, report),
    startupDetection: readDetection(config, report),
    dataPath: DATA_PATH,
  };
  for (const object of [meta, config, egg]) object.reportRest(report);
  report.warn('ports', 'eggs name none: add them to the template, or give each server a primaryPort');
  return { fields, warnings: report.warnings(), format: formatOf(document) };
}

function formatOf({ meta }: Readonly<Record<string, unknown>>): string {
  const version = typeof meta === 'object' && meta !== null && 'version' in meta ? meta.version : null;
  return typeof version === 'string' ? version : '';
}

function readName(egg: EggObject, report: Report): string {
  const name = egg
    .text('name')
    .replace(/\p{Cc}/gu, ' ')
    .trim();
  if (name === '') refuse('name', 'is missing');
  if (name.length > NAME_MAX_LENGTH) report.warn('name', 'is too long and was cut');
  return cut(name, NAME_MAX_LENGTH);
}

function readDescription(egg: EggObject, report: Report): string {
  const description = egg.text('description').trim();
  if (description.length > DESCRIPTION_MAX_LENGTH) report.warn('description', 'is too long and was cut');
  return cut(description, DESCRIPTION_MAX_LENGTH);
}

/** What scripts and images of eggs rely on. A variable of the egg's own wins. */
function environmentFor(line: string, declared: ReadonlySet<string>): Record<string, string> {
  const counterparts = Object.entries(EGG_ENVIRONMENT).map(([name, counterpart]): [string, string] => [
    name,
    'name' in counterpart ? `{{${counterpart.name}}}` : counterpart.text,
  ]);
  const entries = [...(line === '' ? [] : [['STARTUP', line] as [string, string]]), ...counterparts];
  return Object.fromEntries(entries.filter(([name]) => !declared.has(name)));
}

/** Files that the egg sets values in are those which people look for. */
function quickLinks(configFiles: TemplateColumns['configFiles']): Record<string, unknown> {
  if (configFiles.length === 0) return {};
  return { configFiles: configFiles.map(({ path }) => `/${path.replace(/^[./]*\//, '')}`) };
}
