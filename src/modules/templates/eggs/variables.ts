import type { TemplateVariable } from '../../../lib/stored-template.js';
import { checkVariable } from '../../../lib/template-variables.js';
import { BUILT_IN_VARIABLES, VARIABLE_NAME } from '../../../lib/templates.js';
import { createPatience, type Patience } from '../../../lib/variable-pattern.js';
import { parseRules, splitRules } from '../../../lib/variable-rules.js';
import { createEggObject, type EggObject } from './egg-object.js';
import { cut, type Report, refuse } from './report.js';

const DESCRIPTION_MAX_LENGTH = 2000;
/** Of the 200 of a template one is for the start command. */
const VARIABLES_MAX = 199;
const SHOWN_RULE_MAX_LENGTH = 100;
/** Of a template's own limits. */
const RULE_MAX_LENGTH = 1000;
const RULES_MAX = 20;
/** A variable of the egg never counted for these where it comes from, either. */
const SET_BY_PANEL: ReadonlySet<string> = new Set([
  ...BUILT_IN_VARIABLES,
  ...['SERVER_MEMORY', 'SERVER_PORT', 'SERVER_IP', 'P_SERVER_UUID', 'STARTUP'],
]);

/** In the order of their `sort` where they have one. Names are in capitals, as servers of eggs get them. */
export function readVariables(egg: EggObject, report: Report): TemplateVariable[] {
  const variables = new Map<string, TemplateVariable>();
  const items = egg.list('variables');
  // Refused at once, because each may have expressions to try.
  if (items.length > VARIABLES_MAX) refuse('variables', `an egg may have at most ${VARIABLES_MAX}`);
  const patience = createPatience();
  for (const { object, place } of sorted(items)) {
    const name = readName(object, place, report);
    if (name !== null && variables.has(name)) report.warn(place, `left out: ${name} is there twice`);
    else if (name !== null) variables.set(name, readVariable(object, name, { report, patience }));
    object.reportRest(report);
  }
  return [...variables.values()];
}

function sorted(items: unknown[]) {
  const found = items.map((item, index) => {
    const place = `variables.${index}`;
    const object = createEggObject(item, place);
    const sort = object.take('sort');
    return { object, place, sort: typeof sort === 'number' ? sort : index };
  });
  return found.sort((a, b) => a.sort - b.sort);
}

/** Null, and a warning, when the template cannot have a variable of this name. */
function readName(object: EggObject, place: string, report: Report): string | null {
  const given = object.text('env_variable');
  if (given === '') return refuse(`${place}.env_variable`, 'is missing');
  const name = given.toUpperCase();
  const problem = nameProblem(name);
  if (problem) {
    report.warn(place, `the variable ${given} is left out: ${problem}`);
    object.rest();
    return null;
  }
  if (name !== given)
    report.warn(place, `${given} is called ${name} here, which is what servers of eggs are given`);
  return name;
}

function nameProblem(name: string): string | null {
  if (SET_BY_PANEL.has(name)) return 'the panel sets it itself';
  return VARIABLE_NAME.test(name) ? null : 'this cannot be the name of a variable here';
}

interface Tools {
  report: Report;
  patience: Patience;
}

function readVariable(object: EggObject, name: string, tools: Tools): TemplateVariable {
  const { report } = tools;
  const place = `variables.${name}`;
  const rules = readRules(object.take('rules'), `${place}.rules`, report);
  if (!object.flag('user_viewable', true)) {
    report.warn(place, 'was hidden from users; here all who are signed in see the variables of a template');
  }
  const fieldType = object.text('field_type');
  if (fieldType !== '' && fieldType !== 'text') {
    report.warn(`${place}.field_type`, `"${fieldType}" is left out: clients choose the field by the rules`);
  }
  return {
    name,
    description: describe(object, place, report),
    default: readDefault(object, rules, place, tools),
    required: parseRules(rules).some(({ kind }) => kind === 'required'),
    userEditable: object.flag('user_editable', true),
    rules,
  };
}

/** Our variables have no name but the one that programs see. */
function describe(object: EggObject, place: string, report: Report): string {
  const text = [object.text('name').trim(), object.text('description').trim()].filter(Boolean).join(': ');
  if (text.length > DESCRIPTION_MAX_LENGTH) report.warn(`${place}.description`, 'is too long and was cut');
  return cut(text, DESCRIPTION_MAX_LENGTH);
}

function readDefault(
  object: EggObject,
  rules: string[],
  place: string,
  { report, patience }: Tools,
): string | null {
  const given = object.take('default_value') ?? '';
  if (typeof given === 'object') return refuse(`${place}.default_value`, 'must be text');
  const value = String(given);
  const problem = value === '' ? null : checkVariable({ name: place, rules }, value, patience);
  if (!problem) return value;
  // Many of these, one after the other, would stop everything else.
  if (problem.startsWith('takes too long')) refuse(`${place}.rules`, `the default value ${problem}`);
  report.warn(`${place}.default_value`, `left out, because it breaks the variable's own rules: ${problem}`);
  return null;
}

/** A list, in which a regular expression may have any character. */
function readRules(given: unknown, place: string, report: Report): string[] {
  const texts = typeof given === 'string' ? splitRules(given) : (given ?? []);
  if (!Array.isArray(texts)) return refuse(place, 'must be text or a list');
  const rules = texts.flatMap((text: unknown) => {
    if (typeof text !== 'string') return refuse(place, 'must be a list of text');
    const rule = text.trim();
    const problem = ruleProblem(rule);
    if (problem) report.warn(place, `"${cut(rule, SHOWN_RULE_MAX_LENGTH)}" is left out: ${problem}`);
    return problem || rule === '' ? [] : [rule];
  });
  if (rules.length > RULES_MAX) report.warn(place, `only the first ${RULES_MAX} are taken`);
  return rules.slice(0, RULES_MAX);
}

function ruleProblem(rule: string): string | null {
  if (rule.length > RULE_MAX_LENGTH) return `it has more than ${RULE_MAX_LENGTH} characters`;
  try {
    parseRules([rule]);
    return null;
  } catch (error) {
    if (error instanceof SyntaxError) return error.message;
    throw error;
  }
}
