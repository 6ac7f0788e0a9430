import { type Actor, hasPermission } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { own } from '../../../lib/own.js';
import type { TemplateVariable } from '../../../lib/stored-template.js';
import { checkVariable } from '../../../lib/template-variables.js';
import { placeholdersIn } from '../../../lib/templates.js';
import { createPatience } from '../../../lib/variable-pattern.js';

/** What a template says about the variables of its servers. */
export interface VariableDeclarations {
  requiredVariables: string[];
  variables: TemplateVariable[];
  environment: Record<string, string>;
}

/** Templates may use these without declaring them, and anybody may set them. */
const FREE_NAMES = ['MEMORY', 'PORT'];

/**
 * Throws unless the environment of a server fits its template: only names that the template declares, every
 * required one with a value, each value as its rules say.
 * @param current What the server has so far: a value that only administrators may set may stay what it is, and so
 * may one of a variable that the template does not declare any more.
 */
export function checkEnvironment(options: {
  actor: Actor;
  template: VariableDeclarations;
  environment: Readonly<Record<string, string>>;
  current?: Readonly<Record<string, string>>;
}): void {
  const { template, environment, current = {} } = options;
  refuseUnknown(template, environment, current);
  requireAll(template, environment);
  const patience = createPatience();
  for (const variable of template.variables) {
    const value = own(environment, variable.name);
    if (value === undefined) continue;
    checkRights(variable, value, options);
    // Left empty, a variable that is not required counts as not given.
    const problem = value === '' ? null : checkVariable(variable, value, patience);
    if (problem) throw new AppError('server.variable_invalid', `${variable.name}: ${problem}`);
  }
}

/** Of an environment, what the template (still) has a meaning for. */
export function declaredValues(
  template: VariableDeclarations,
  environment: Readonly<Record<string, string>>,
): Record<string, string> {
  const known = declaredNames(template);
  return Object.fromEntries(Object.entries(environment).filter(([name]) => known.has(name)));
}

function declaredNames(template: VariableDeclarations): Set<string> {
  return new Set([
    ...FREE_NAMES,
    ...template.requiredVariables,
    ...template.variables.map(({ name }) => name),
    ...Object.keys(template.environment),
  ]);
}

function refuseUnknown(
  template: VariableDeclarations,
  environment: Readonly<Record<string, string>>,
  current: Readonly<Record<string, string>>,
): void {
  const known = declaredNames(template);
  const unknown = Object.keys(environment).filter(
    (name) => !known.has(name) && own(environment, name) !== own(current, name),
  );
  if (unknown.length === 0) return;
  throw new AppError(
    'server.variable_invalid',
    `The template does not have these variables: ${unknown.join(', ')}`,
  );
}

function requireAll(template: VariableDeclarations, environment: Readonly<Record<string, string>>): void {
  const required = [
    ...template.requiredVariables,
    ...template.variables.filter((variable) => variable.required).map(({ name }) => name),
  ];
  const missing = [...new Set(required)].filter((name) => !hasValue(template, environment, name));
  if (missing.length === 0) return;
  throw new AppError(
    'server.variables_missing',
    `Missing required template variables: ${missing.join(', ')}`,
  );
}

function hasValue(
  template: VariableDeclarations,
  environment: Readonly<Record<string, string>>,
  name: string,
): boolean {
  const given = own(environment, name);
  if (given !== undefined) return given !== '';
  const fixed = own(template.environment, name);
  if (fixed && placeholdersIn(fixed).length === 0) return true;
  return Boolean(template.variables.find((variable) => variable.name === name)?.default);
}

function checkRights(
  variable: TemplateVariable,
  value: string,
  { actor, current }: { actor: Actor; current?: Readonly<Record<string, string>> },
): void {
  if (variable.userEditable || hasPermission(actor, 'admin.write')) return;
  if (value === ((current && own(current, variable.name)) ?? variable.default)) return;
  throw new AppError('permission.denied', `Only an administrator may set ${variable.name}.`);
}
