import { applySplices, lineEndOf, type Splice } from './text.js';
import { ConfigError, type ConfigValues, chooseValue, isConditional, type WantedValue } from './values.js';
import { decodeXml, encodeXml, parseXml, type Span, XML_NAME, type XmlElement } from './xml-document.js';
import { canMake, matches, parseXmlPath, type XmlStep } from './xml-path.js';

const PROLOGUE = '<?xml version="1.0" encoding="utf-8"?>';
const UNIT = '  ';
const MATCHES_MAX = 10_000;
/** A value that is for an attribute, not for the element's text. */
const ATTRIBUTE_VALUE = /^\[(?<name>[\w:.-]+)='(?<value>.*)'\]$/s;

/**
 * Paths as in `parseXmlPath`. A value `[name='text']` sets an attribute, any other the text of the elements. Elements
 * that are missing are added behind their siblings. Everything else stays as it is, to the byte.
 */
export function applyToXml(text: string, values: ConfigValues): string {
  // One after the other: a value may be for an element that the one before has made.
  let changed = text;
  for (const [path, wanted] of Object.entries(values)) changed = applyOne(changed, path, wanted);
  return changed;
}

function applyOne(text: string, path: string, wanted: WantedValue): string {
  const steps = parseXmlPath(path);
  const root = parseXml(text);
  const [first, ...rest] = steps;
  if (root === null) return isConditional(wanted) ? text : startDocument(text, steps, wanted);
  if (first === undefined || !matches(first, root)) {
    throw new ConfigError(`the root of the file is not the "${first?.name}" of "${path}"`);
  }
  const { found, missing } = find(root, rest);
  if (found.length > MATCHES_MAX)
    throw new ConfigError(`"${path}" is in the file more than ${MATCHES_MAX} times`);
  const splices = found.flatMap((element) => setValue(text, element, wanted));
  if (missing !== null && !isConditional(wanted) && missing.steps.every(canMake)) {
    splices.push(addChild(text, missing.parent, renderNew(missing.steps, wanted)));
  }
  const changed = applySplices(text, splices);
  parseXml(changed);
  return changed;
}

interface Missing {
  parent: XmlElement;
  steps: XmlStep[];
}

/** The elements at the end of the path; or, when no step has a wildcard, how far there is one to start from. */
function find(root: XmlElement, steps: XmlStep[]): { found: XmlElement[]; missing: Missing | null } {
  let found = [root];
  for (const [index, step] of steps.entries()) {
    const next = found.flatMap((element) => {
      const fitting = element.children.filter((child) => matches(step, child));
      return step.position === null ? fitting : fitting.slice(step.position - 1, step.position);
    });
    const parent = found.length === 1 ? found[0] : undefined;
    if (next.length === 0 && parent !== undefined && steps.every(({ name }) => name !== '*')) {
      return { found: [], missing: { parent, steps: steps.slice(index) } };
    }
    found = next;
  }
  return { found, missing: null };
}

function setValue(text: string, element: XmlElement, wanted: WantedValue): Splice[] {
  const target = attributeOf(wanted);
  if (target === null) return setText(text, element, wanted);
  const attribute = element.attributes.find(({ name }) => name === target);
  const value = chooseValue(wanted, attribute?.value ?? null);
  if (value === null) return [];
  const { name, value: content } = splitValue(String(value));
  if (name !== target) throw new ConfigError('the values of one attribute have to be for the same attribute');
  if (attribute?.value === content) return [];
  if (attribute !== undefined) return [{ ...attribute.span, text: encodeXml(content) }];
  const end = behindLastAttribute(element);
  return [{ start: end, end, text: ` ${target}="${encodeXml(content)}"` }];
}

function setText(text: string, element: XmlElement, wanted: WantedValue): Splice[] {
  if (element.children.length > 0) throw new ConfigError(`"${element.name}" has elements in it, not a text`);
  const present = textOf(text, element.content);
  const value = chooseValue(wanted, present);
  if (value === null || String(value) === present) return [];
  return [withContent(element, encodeXml(String(value)))];
}

/** The attribute that the value is for; null: the text. */
function attributeOf(wanted: WantedValue): string | null {
  const example = isConditional(wanted) ? Object.values(wanted)[0] : wanted;
  return splitValue(String(example)).name;
}

function splitValue(value: string): { name: string | null; value: string } {
  const groups = ATTRIBUTE_VALUE.exec(value)?.groups;
  const { name = '', value: content = '' } = groups ?? {};
  return XML_NAME.test(name) ? { name, value: content } : { name: null, value };
}

function textOf(text: string, content: Span): string {
  const parts = text.slice(content.start, content.end).split(/<!--.*?-->|(<!\[CDATA\[.*?\]\]>)|<\?.*?\?>/s);
  return parts
    .map((part) => (part?.startsWith('<![CDATA[') ? part.slice(9, -3) : decodeXml(part ?? '')))
    .join('');
}

function behindLastAttribute({ attributes, tag, name }: XmlElement): number {
  const last = attributes.at(-1);
  return last === undefined ? tag.start + 1 + name.length : last.span.end + 1;
}

function withContent(element: XmlElement, content: string): Splice {
  const { isEmptyTag, tag, name } = element;
  if (!isEmptyTag) return { ...element.content, text: content };
  return { start: behindLastAttribute(element), end: tag.end, text: `>${content}</${name}>` };
}

function addChild(text: string, parent: XmlElement, child: string): Splice {
  const last = parent.children.at(-1);
  const lineEnd = lineEndOf(text);
  const outer = indentAt(text, parent.tag.start);
  if (last === undefined) {
    if (!parent.isEmptyTag && textOf(text, parent.content).trim() !== '') {
      throw new ConfigError(`"${parent.name}" has a text in it, not elements`);
    }
    const comments = parent.isEmptyTag ? '' : text.slice(parent.content.start, parent.content.end).trimEnd();
    return withContent(parent, `${comments}${lineEnd}${outer}${UNIT}${child}${lineEnd}${outer}`);
  }
  const position = last.isEmptyTag ? last.tag.end : text.indexOf('>', last.content.end) + 1;
  const isOnLines = text.slice(parent.tag.end, last.tag.start).includes('\n');
  const separator = isOnLines ? lineEnd + indentAt(text, last.tag.start) : '';
  return { start: position, end: position, text: separator + child };
}

function startDocument(text: string, steps: XmlStep[], wanted: WantedValue): string {
  if (!steps.every(canMake)) return text;
  const start = text.trim() === '' ? `${PROLOGUE}\n` : text.replace(/\n?$/, '\n');
  return `${start}${renderNew(steps, wanted)}\n`;
}

function renderNew([step, ...rest]: XmlStep[], wanted: WantedValue): string {
  if (step === undefined) return '';
  const attributes = new Map(step.conditions.map(({ attribute, value }) => [attribute, value ?? '']));
  const { name, value } = splitValue(String(chooseValue(wanted, null) ?? ''));
  if (rest.length === 0 && name !== null) attributes.set(name, value);
  const tag = [step.name, ...[...attributes].map(([key, text]) => `${key}="${encodeXml(text)}"`)].join(' ');
  const content = rest.length > 0 ? renderNew(rest, wanted) : name === null ? encodeXml(value) : '';
  return content === '' ? `<${tag} />` : `<${tag}>${content}</${step.name}>`;
}

/** The blanks that the line of this place begins with. */
function indentAt(text: string, position: number): string {
  const lineStart = text.lastIndexOf('\n', position - 1) + 1;
  return /^[ \t]*/.exec(text.slice(lineStart, position))?.[0] ?? '';
}
