import { AppError } from '../../../lib/errors.js';

const WARNINGS_MAX = 300;
const PLACE_MAX_LENGTH = 200;
const SENTENCE_MAX_LENGTH = 500;

/** What an import has to say to whoever asked for it. */
export interface Report {
  /** Something of the egg is not carried over, or not as it was. */
  warn(place: string, sentence: string): void;
  warnings(): string[];
}

export function createReport(): Report {
  const warnings: string[] = [];
  let leftOut = 0;
  return {
    warn(place, sentence) {
      if (warnings.length < WARNINGS_MAX) warnings.push(describe(place, sentence));
      else leftOut += 1;
    },
    warnings() {
      return leftOut === 0 ? warnings : [...warnings, `There are ${leftOut} more of these.`];
    },
  };
}

/** The egg cannot be read at all. */
export function refuse(place: string, sentence: string, options?: ErrorOptions): never {
  throw new AppError('template.import_failed', describe(place, sentence), options);
}

function describe(place: string, sentence: string): string {
  return `${cut(place, PLACE_MAX_LENGTH)}: ${cut(sentence, SENTENCE_MAX_LENGTH)}`;
}

export function cut(text: string, maxLength: number): string {
  return text.length <= maxLength ? text : `${text.slice(0, maxLength - 1).toWellFormed()}…`;
}
