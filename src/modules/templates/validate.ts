import { AppError } from '../../lib/errors.js';
import { checkVariable } from '../../lib/template-variables.js';
import { BUILT_IN_VARIABLES, commandWords, fixedValues, shellScriptIndex } from '../../lib/templates.js';
import { createPatience } from '../../lib/variable-pattern.js';
import { parseRules } from '../../lib/variable-rules.js';
import { configPatternProblem } from './config-pattern.js';
import type { CreateTemplateBody, TemplateVariable } from './schemas.js';

/** Only the panel sets these. */
const RESERVED: ReadonlySet<string> = new Set(['MEMORY_MB', 'SERVER_ID', 'SERVER_UUID']);

/** A value has up to 8 KB, and each placeholder becomes one: more of them would fill the panel's memory. */
const PLACEHOLDERS_MAX = 1000;

/** What fields of a template have to say about each other. Throws `template.invalid`, naming the field. */
export function validateTemplate(template: CreateTemplateBody): void {
  validateVariables(template.variables);
  const ofPanel = template.requiredVariables.find((name) => RESERVED.has(name));
  if (ofPanel !== undefined) refuse(`requiredVariables: ${ofPanel} is set by the panel`);
  validatePorts(template);
  validateDetection(template.startupDetection);
  validateStartup(template);
  validateConfigPatterns(template);
  const words = validateCommand(template);
  validatePlaceholders(template, words);
}

function validateVariables(variables: TemplateVariable[]): void {
  const seen = new Set<string>();
  const patience = createPatience();
  for (const variable of variables) {
    const { name } = variable;
    if (seen.has(name)) refuse(`variables: ${name} is there twice`);
    if (RESERVED.has(name)) refuse(`variables: ${name} is set by the panel`);
    seen.add(name);
    try {
      parseRules(variable.rules);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      refuse(`variables.${name}.rules: ${error.message}`);
    }
    const problem = variable.default ? checkVariable(variable, variable.default, patience) : null;
    if (problem) refuse(`variables.${name}.default: ${problem}`);
  }
}

function validatePorts({ ports }: CreateTemplateBody): void {
  const internal = ports.map((port) => port.internal);
  const twice = internal.find((port, index) => internal.indexOf(port) !== index);
  if (twice !== undefined) refuse(`ports: the internal port ${twice} is there twice`);
}

function validateDetection(startupDetection: string | null): void {
  if (startupDetection === null) return;
  try {
    // As agents compile it.
    new RegExp(startupDetection, 'u');
  } catch (error) {
    refuse(`startupDetection: ${error instanceof Error ? error.message : 'is not a regular expression'}`);
  }
}

/** The words of the start command. A shell's script gets its values as environment variables instead. */
function validateCommand({ startCommand }: CreateTemplateBody): string[] {
  const words = splitCommand(startCommand);
  const script = words[shellScriptIndex(words)];
  const [name] = script ? bracesIn(script) : [];
  if (name !== undefined) {
    refuse(`startCommand: a shell's script cannot have {{${name}}} in it; write "$${name}" there`);
  }
  return words;
}

function splitCommand(startCommand: string | string[]): string[] {
  try {
    return commandWords(startCommand);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    return refuse(`startCommand: ${error.message}`);
  }
}

function validatePlaceholders(template: CreateTemplateBody, words: string[]): void {
  const known = new Set<string>([
    ...BUILT_IN_VARIABLES,
    ...template.requiredVariables,
    ...template.variables.map(({ name }) => name),
    ...Object.keys(fixedValues(template.environment)),
  ]);
  let count = 0;
  for (const [field, text] of renderedTexts(template, words)) {
    const names = bracesIn(text);
    count += names.length;
    if (count > PLACEHOLDERS_MAX) refuse(`${field}: a template has at most ${PLACEHOLDERS_MAX} {{…}}`);
    const unknown = names.find((name) => !known.has(name));
    if (unknown !== undefined) refuse(`${field}: there is no variable {{${unknown.slice(0, 64)}}}`);
  }
}

/**
 * Scripts keep their braces, so a placeholder in one is a mistake of whoever writes it. Not so in a script that
 * was written for elsewhere: braces there are meant.
 */
export function refusePlaceholdersInScript(installScript: string | null): void {
  const [name] = bracesIn(installScript ?? '');
  if (name === undefined) return;
  refuse(`installScript: it gets its values as environment variables; write "$${name}", not {{${name}}}`);
}

function validateConfigPatterns({ configFiles }: CreateTemplateBody): void {
  for (const { path, values } of configFiles) {
    const cases = Object.values(values).flatMap((value) =>
      typeof value === 'object' ? Object.keys(value) : [],
    );
    const problem = cases.map(configPatternProblem).find((found) => found !== null);
    if (problem) refuse(`configFiles (${path}): ${problem}`);
  }
}

/** The images of eggs run it in a shell, where a value would become a second word or an operator. */
function validateStartup({ environment }: CreateTemplateBody): void {
  const [name] = bracesIn(environment.STARTUP ?? '');
  if (name === undefined) return;
  refuse(`environment.STARTUP: images run it in a shell; write "\${${name}}", not {{${name}}}`);
}

function renderedTexts(template: CreateTemplateBody, words: string[]): [field: string, text: string][] {
  return [
    ...words.map((word): [string, string] => ['startCommand', word]),
    ['stopCommand', template.stopCommand ?? ''],
    ...Object.entries(template.environment).map(([name, text]): [string, string] => [
      `environment.${name}`,
      text,
    ]),
    ...template.configFiles.flatMap(({ path, values }) =>
      Object.values(values)
        .flatMap((value) => (typeof value === 'object' ? Object.values(value) : [value]))
        .map((value): [string, string] => [`configFiles (${path})`, String(value)]),
    ),
  ];
}

/** Whatever stands in double braces, a possible name or not. */
function bracesIn(text: string): string[] {
  return [...text.matchAll(/\{\{([^{}]*)\}\}/g)].map((match) => (match[1] ?? '').trim());
}

function refuse(problem: string): never {
  throw new AppError('template.invalid', problem);
}
