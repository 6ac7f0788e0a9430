import { createEggObject, type EggObject, isEmpty } from './egg-object.js';
import { convertExpression, escapeExpression } from './expression.js';
import { parseInnerJson } from './inner-json.js';
import { type Report, refuse } from './report.js';

const DETECTION_MAX_LENGTH = 500;
const EXPRESSION_PREFIX = 'regex:';

/**
 * `config.startup { done }`: what a line of the console has in it when the server is up, literally or as an
 * expression behind `regex:`, one or several. Null: the server is running as soon as it runs.
 */
export function readDetection(config: EggObject, report: Report): string | null {
  const place = config.place('startup');
  const startup = createEggObject(parseInnerJson(config.take('startup'), place), place);
  // Colours never get in the way of an agent, so there is nothing to say about this one.
  startup.flag('strip_ansi', true);
  const done = startup.take('done');
  startup.reportRest(report);
  const texts = isEmpty(done) ? [] : Array.isArray(done) ? done : [done];
  const alternatives: string[] = [];
  for (const text of texts) {
    if (typeof text !== 'string') return refuse(`${place}.done`, 'must be text or a list of text');
    const expression = readExpression(text, `${place}.done`, report);
    if (expression === null) continue;
    if ([...alternatives, expression].join('|').length <= DETECTION_MAX_LENGTH) alternatives.push(expression);
    else
      report.warn(
        `${place}.done`,
        `left out, because expressions have at most ${DETECTION_MAX_LENGTH} characters`,
      );
  }
  return alternatives.length === 0 ? null : alternatives.join('|');
}

function readExpression(text: string, place: string, report: Report): string | null {
  if (text === '') return null;
  if (text.length > DETECTION_MAX_LENGTH) {
    report.warn(place, `left out, because it has more than ${DETECTION_MAX_LENGTH} characters`);
    return null;
  }
  if (!text.startsWith(EXPRESSION_PREFIX)) return escapeExpression(text);
  const expression = text.slice(EXPRESSION_PREFIX.length);
  try {
    return expression === '' ? null : convertExpression(expression);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    report.warn(place, `"${text}" is left out: ${error.message}`);
    return null;
  }
}
