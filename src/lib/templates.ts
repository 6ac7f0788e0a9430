/**
 * Variables that every template may use without declaring them. `MEMORY` is what Java takes (`2048M`),
 * `MEMORY_MB` the bare number.
 */
export const BUILT_IN_VARIABLES = ['MEMORY', 'MEMORY_MB', 'PORT', 'SERVER_ID', 'SERVER_UUID'] as const;

const NAME = '[A-Za-z_][A-Za-z0-9_]{0,63}';
const PLACEHOLDER = new RegExp(`\\{\\{\\s*(${NAME})\\s*\\}\\}`, 'g');
/** What variables, and so environment variables of servers, can be called. One name is special to JavaScript. */
export const VARIABLE_NAME = new RegExp(`^(?!__proto__$)${NAME}$`);
const SHELLS = new Set(['sh', 'bash', 'dash', 'ash', 'zsh', 'ksh', 'ksh93', 'mksh', 'fish', 'csh', 'tcsh']);
/** Options of shells that take the next word. */
const WITH_WORD = /^(?:[-+][A-Za-z]*[oO]|--rcfile|--init-file)$/;

/** The names in `{{NAME}}` placeholders, each once. */
export function placeholdersIn(text: string): string[] {
  return [...new Set([...text.matchAll(PLACEHOLDER)].map((match) => match[1] ?? ''))];
}

/** What a template's environment sets to a fixed value: a value for placeholders as well. */
export function fixedValues(environment: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(environment).filter(([, text]) => !text.includes('{{')));
}

/** Replaces each placeholder once: a value that looks like a placeholder stays as it is. Unknown names stay too. */
export function renderText(text: string, values: Readonly<Record<string, string>>): string {
  return text.replace(PLACEHOLDER, (whole, name: string) =>
    Object.hasOwn(values, name) ? (values[name] ?? '') : whole,
  );
}

/**
 * Splits a command into words as a shell would: white space separates, 'single' and "double" quotes and a
 * backslash keep things together. Nothing else means anything: no variables, no operators.
 * Throws a SyntaxError at a quote that is never closed.
 */
export function splitWords(command: string): string[] {
  const words: string[] = [];
  let word: string | null = null;
  let quote: string | null = null;
  for (let index = 0; index < command.length; index += 1) {
    const character = command[index] ?? '';
    if (quote) {
      if (character === quote) quote = null;
      else if (character === '\\' && quote === '"') word += command[++index] ?? '';
      else word += character;
    } else if (character === "'" || character === '"') {
      quote = character;
      word ??= '';
    } else if (character === '\\') word = (word ?? '') + (command[++index] ?? '');
    else if (/\s/.test(character)) {
      if (word !== null) words.push(word);
      word = null;
    } else word = (word ?? '') + character;
  }
  if (quote) throw new SyntaxError(`A ${quote} is never closed.`);
  if (word !== null) words.push(word);
  return words;
}

/** The words of a start command as a template stores it. */
export function commandWords(startCommand: string | string[]): string[] {
  return typeof startCommand === 'string' ? splitWords(startCommand) : startCommand;
}

/**
 * Words first, values after: a value can never become a second word or an operator. A shell's script gets its
 * values as environment variables, so it is left as it is (and templates with a placeholder there are refused).
 */
export function renderCommand(
  startCommand: string | string[],
  values: Readonly<Record<string, string>>,
): string[] {
  const words = commandWords(startCommand);
  const script = shellScriptIndex(words);
  return words.map((word, index) => (index === script ? word : renderText(word, values)));
}

/** Where in `["sh", "-c", script]`, also behind `env` and the like, the script is; -1 when there is none. */
export function shellScriptIndex(words: readonly string[]): number {
  const shell = words.findIndex((word) => SHELLS.has(word.split('/').at(-1) ?? ''));
  if (shell === -1) return -1;
  let hasScript = false;
  for (let index = shell + 1; index < words.length; index += 1) {
    const word = words[index] ?? '';
    if (!/^[-+]/.test(word)) return hasScript ? index : -1;
    if (/^-[A-Za-z]*c[A-Za-z]*$/.test(word)) hasScript = true;
    if (WITH_WORD.test(word)) index += 1;
  }
  return -1;
}

/** Joins words so that a shell, or `splitWords`, gives them back. */
export function quoteWords(words: readonly string[]): string {
  return words
    .map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`))
    .join(' ');
}
