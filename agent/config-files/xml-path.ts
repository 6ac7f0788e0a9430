import { ConfigError } from './values.js';
import { XML_NAME, type XmlElement } from './xml-document.js';

/** One step from an element to some of its children. */
export interface XmlStep {
  /** `*`: any. */
  name: string;
  /** `[@name='value']`; value null: it only has to have the attribute. */
  conditions: { attribute: string; value: string | null }[];
  /** `[2]`: the second of those that fit. */
  position: number | null;
}

const STEP = /^(?<name>\*|[^[\]@*]+)(?<predicates>(?:\[[^\]]*\])*)$/;
const PREDICATE =
  /\[(?:(?<position>\d{1,6})|@(?<attribute>[^='"\]]+?)(?:\s*=\s*(?:'(?<single>[^']*)'|"(?<double>[^"]*)"))?)\]/g;

/** Elements from the root on, with dots or slashes between them: `Root.Section.property[@name='Port']`. */
export function parseXmlPath(path: string): XmlStep[] {
  const parts = path.replace(/^\.?\//, '').match(/(?:\[[^\]]*\]|[^./[])+/g) ?? [];
  const steps = parts.map((part) => parseStep(part, path));
  if (steps.length === 0) throw unsupported(path);
  return steps;
}

function parseStep(part: string, path: string): XmlStep {
  const { name, predicates = '' } = STEP.exec(part)?.groups ?? {};
  if (name === undefined || (name !== '*' && !XML_NAME.test(name))) throw unsupported(path);
  const step: XmlStep = { name, conditions: [], position: null };
  let length = 0;
  for (const { 0: whole, groups } of predicates.matchAll(PREDICATE)) {
    length += whole.length;
    const { position, attribute, single, double } = groups ?? {};
    if (position !== undefined) step.position = Number(position);
    else if (attribute !== undefined && XML_NAME.test(attribute)) {
      step.conditions.push({ attribute, value: single ?? double ?? null });
    } else throw unsupported(path);
  }
  if (length !== predicates.length) throw unsupported(path);
  return step;
}

function unsupported(path: string): ConfigError {
  return new ConfigError(`"${path}" is no path of elements that is understood`);
}

export function matches(
  { name, conditions }: XmlStep,
  element: Pick<XmlElement, 'name' | 'attributes'>,
): boolean {
  if (name !== '*' && name !== element.name) return false;
  return conditions.every(({ attribute, value }) =>
    element.attributes.some((found) => found.name === attribute && (value === null || found.value === value)),
  );
}

/** Whether the step says everything that there is to say of a new element. */
export function canMake({ name, conditions, position }: XmlStep): boolean {
  return name !== '*' && position === null && conditions.every(({ value }) => value !== null);
}
