import type { ConfigValue } from '../../src/protocol/server-specification.js';
import { parseKeyPath, type Step } from './key-path.js';
import {
  ConfigError,
  type ConfigValues,
  chooseValue,
  isConditional,
  typedLike,
  type WantedValue,
} from './values.js';

/** A file's content as a tree whose nodes know where in the text they stand. */
export type TreeNode<Source> = MapNode<Source> | ListNode<Source> | ScalarNode<Source>;
export interface MapNode<Source> {
  kind: 'map';
  source: Source;
  entries: Map<string, TreeNode<Source>>;
}
export interface ListNode<Source> {
  kind: 'list';
  source: Source;
  items: TreeNode<Source>[];
}
export interface ScalarNode<Source> {
  kind: 'scalar';
  source: Source;
  value: string | number | boolean | null;
}

/** What is not in the file yet. */
export type NewNode = ConfigValue | Map<string, NewNode> | NewNode[];

/** What has to change so that a tree holds the values. */
export interface TreePlan<Source> {
  replaced: Map<ScalarNode<Source>, NewNode>;
  addedEntries: Map<MapNode<Source>, Map<string, NewNode>>;
  addedItems: Map<ListNode<Source>, NewNode[]>;
  /** Where each value is to be found afterwards. */
  places: { names: string[]; value: ConfigValue }[];
}

const PLACES_MAX = 10_000;

export function planTree<Source>(root: TreeNode<Source>, values: ConfigValues): TreePlan<Source> {
  const plan: TreePlan<Source> = {
    replaced: new Map(),
    addedEntries: new Map(),
    addedItems: new Map(),
    places: [],
  };
  for (const [path, wanted] of Object.entries(values)) {
    planPath(plan, { node: root, names: [], rest: parseKeyPath(path), path, wanted });
  }
  return plan;
}

interface Visit<Source> {
  node: TreeNode<Source>;
  /** How the node was reached. */
  names: string[];
  rest: Step[];
  path: string;
  wanted: WantedValue;
}

function planPath<Source>(plan: TreePlan<Source>, visit: Visit<Source>): void {
  const { node, names, path } = visit;
  const [step, ...rest] = visit.rest;
  if (step === undefined) {
    replaceScalar(plan, visit);
  } else if (step.kind === 'each') {
    for (const [name, child] of childrenOf(node)) {
      if (rest.length > 0 && child.kind === 'scalar') continue;
      planPath(plan, { ...visit, node: child, names: [...names, name], rest });
    }
  } else {
    const child = childOf(node, step, path);
    if (child !== undefined) planPath(plan, { ...visit, node: child, names: [...names, nameOf(step)], rest });
    else if (!isConditional(visit.wanted) && rest.every(({ kind }) => kind !== 'each'))
      addMissing(plan, visit);
  }
}

function childrenOf<Source>(node: TreeNode<Source>): [string, TreeNode<Source>][] {
  if (node.kind === 'map') return [...node.entries];
  return node.kind === 'list' ? node.items.map((item, index) => [String(index), item]) : [];
}

function childOf<Source>(node: TreeNode<Source>, step: Step, path: string): TreeNode<Source> | undefined {
  if (node.kind === 'map' && step.kind === 'key') return node.entries.get(step.name);
  const index = indexOf(step);
  if (node.kind === 'list' && index !== null) return node.items[index];
  if (node.kind === 'scalar' && node.value === null) return undefined;
  throw new ConfigError(`"${path}" does not fit what is in the file`);
}

/** `a.0` is the first of a list, too. */
function indexOf(step: Step): number | null {
  if (step.kind === 'index') return step.index;
  return step.kind === 'key' && /^\d{1,6}$/.test(step.name) ? Number(step.name) : null;
}

function replaceScalar<Source>(plan: TreePlan<Source>, { node, names, path, wanted }: Visit<Source>) {
  if (node.kind !== 'scalar') throw new ConfigError(`"${path}" is more than one value in the file`);
  const chosen = chooseValue(wanted, String(node.value));
  if (chosen === null) return;
  const value = typedLike(chosen, node.value);
  if (value === node.value) plan.replaced.delete(node);
  else plan.replaced.set(node, value);
  note(plan, names, value);
}

function addMissing<Source>(plan: TreePlan<Source>, { node, names, rest, path, wanted }: Visit<Source>) {
  const value = typedLike(chooseValue(wanted, null) ?? '', null);
  note(plan, [...names, ...rest.map(nameOf)], value);
  if (node.kind === 'scalar') {
    plan.replaced.set(node, extend(plan.replaced.get(node), rest, value, path));
  } else if (node.kind === 'map') {
    const added = plan.addedEntries.get(node) ?? new Map<string, NewNode>();
    plan.addedEntries.set(node, added);
    extend(added, rest, value, path);
  } else {
    const added = plan.addedItems.get(node) ?? [];
    plan.addedItems.set(node, added);
    const [first, ...others] = rest;
    const index = (first === undefined ? null : indexOf(first)) ?? 0;
    extend(added, [{ kind: 'index', index: index - node.items.length }, ...others], value, path);
  }
}

/** The new node with the value in it; maps and lists on the way are made, or extended where they are new as well. */
function extend(present: NewNode | undefined, steps: Step[], value: ConfigValue, path: string): NewNode {
  const [step, ...rest] = steps;
  if (step === undefined) return value;
  if (step.kind === 'key') {
    const map = present instanceof Map ? present : new Map<string, NewNode>();
    return map.set(step.name, extend(map.get(step.name), rest, value, path));
  }
  const list = Array.isArray(present) ? present : [];
  const index = indexOf(step) ?? 0;
  if (index < 0 || index > list.length)
    throw new ConfigError(`"${path}" is too far behind the end of a list`);
  list[index] = extend(list[index], rest, value, path);
  return list;
}

function note<Source>(plan: TreePlan<Source>, names: string[], value: ConfigValue) {
  if (plan.places.length === PLACES_MAX)
    throw new ConfigError(`there are more than ${PLACES_MAX} places to change`);
  plan.places.push({ names, value });
}

function nameOf(step: Step): string {
  return step.kind === 'key' ? step.name : step.kind === 'index' ? String(step.index) : '*';
}

/** Whether the changed file holds the values now. A later value may have taken the place of an earlier one. */
export function checkTree<Source>(root: TreeNode<Source>, { places }: TreePlan<Source>): void {
  const last = new Map(places.map(({ names, value }) => [JSON.stringify(names), { names, value }]));
  for (const { names, value } of last.values()) {
    let node: TreeNode<Source> | undefined = root;
    for (const name of names) node = namedChildOf(node, name) ?? missing(names);
    if (node.kind !== 'scalar' || node.value !== value) missing(names);
  }
}

function namedChildOf<Source>(node: TreeNode<Source>, name: string): TreeNode<Source> | undefined {
  if (node.kind === 'map') return node.entries.get(name);
  return node.kind === 'list' ? node.items[Number(name)] : undefined;
}

function missing(names: string[]): never {
  throw new ConfigError(`"${names.join('.')}" cannot be set without touching something else`);
}
