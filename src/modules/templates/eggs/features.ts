import { type EggObject, isEmpty } from './egg-object.js';
import { parseInnerJson } from './inner-json.js';
import type { Report } from './report.js';

/** What the egg is, for people: kept with the template, and without an effect here. */
const FACTS = {
  author: 'author',
  uuid: 'uuid',
  tags: 'tags',
  exported_at: 'exportedAt',
  update_url: 'updateUrl',
} as const;

/** What the template keeps under `features.egg`, with a warning for all that had an effect where it comes from. */
export function readFeatures(
  egg: EggObject,
  meta: EggObject,
  config: EggObject,
  report: Report,
): Record<string, unknown> {
  const facts = Object.entries(FACTS).map(([key, name]): [string, unknown] => [name, egg.take(key)]);
  const updateUrl = meta.take('update_url');
  const features = egg.take('features');
  const fileDenylist = egg.take('file_denylist');
  const logs = parseInnerJson(config.take('logs'), config.place('logs'));
  if (!isEmpty(features)) report.warn('features', `kept, but nothing here acts on them: ${list(features)}`);
  if (!isEmpty(fileDenylist)) {
    report.warn('file_denylist', `kept, but users may open and change these files: ${list(fileDenylist)}`);
  }
  if (egg.flag('force_outgoing_ip', false)) {
    report.warn(
      'force_outgoing_ip',
      'has no counterpart: outgoing connections come from the address of the node',
    );
  }
  if (!isEmpty(config.take('extends'))) {
    report.warn('config.extends', 'what that other egg says is not in this file: add it to the template');
  }
  const kept = {
    ...Object.fromEntries(facts),
    ...(!isEmpty(updateUrl) && { updateUrl }),
    features,
    fileDenylist,
    logs,
  };
  return Object.fromEntries(Object.entries(kept).filter(([, value]) => !isEmpty(value)));
}

function list(value: unknown): string {
  return Array.isArray(value) ? value.map(show).join(', ') : show(value);
}

/** `String` would call what an object says is its `toString`. */
function show(value: unknown): string {
  return typeof value === 'string' ? value : JSON.stringify(value);
}
