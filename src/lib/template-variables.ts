import { createPatience, type Patience } from './variable-pattern.js';
import { parseRules } from './variable-rules.js';

/** What a template says about one of its variables, as far as values of it are concerned. */
export interface VariableRules {
  name: string;
  /** `required|string|max:20`, or the same as a list, where a regular expression may have a "|" in it. */
  rules: string | readonly string[];
}

const VALUE_MAX_LENGTH = 8192;
/** With one of these, sizes are those of the number; else those of the text. */
const NUMBER_RULES = new Set(['integer', 'numeric']);

/**
 * Why the value breaks the rules of the variable, as a sentence without its name; null when it does not.
 * @param patience The same for all variables that are checked together.
 */
export function checkVariable(
  { rules }: VariableRules,
  value: string,
  patience: Patience = createPatience(),
): string | null {
  const parsed = parseRules(rules);
  if (value === '') return parsed.some(({ kind }) => kind === 'required') ? 'must have a value' : null;
  if (value.length > VALUE_MAX_LENGTH) return `must have at most ${VALUE_MAX_LENGTH} characters`;
  const isNumber = parsed.some(({ kind }) => NUMBER_RULES.has(kind));
  // What makes it a number first: only then its size means something.
  const ordered = [...parsed].sort(
    (a, b) => Number(NUMBER_RULES.has(b.kind)) - Number(NUMBER_RULES.has(a.kind)),
  );
  for (const rule of ordered) {
    const problem = rule.check({ value, isNumber, patience });
    if (problem) return problem;
  }
  return null;
}
