/** Of Go's expressions, what JavaScript writes in another way. */
const POSIX_CLASSES: Readonly<Record<string, string>> = {
  alnum: '0-9A-Za-z',
  alpha: 'A-Za-z',
  blank: '\\t ',
  digit: '0-9',
  lower: 'a-z',
  punct: '!-\\/:-@\\[-`{-~',
  space: '\\s',
  upper: 'A-Z',
  word: '\\w',
  xdigit: '0-9A-Fa-f',
};
const ANCHORS: Readonly<Record<string, string>> = { '\\A': '^', '\\z': '$', '\\Z': '$' };
/** With the flag `u` nothing else may stand behind a backslash. */
const MAY_BE_ESCAPED = /[\^$\\.*+?()[\]{}|/]/;
const TOKEN = /\\x\{[0-9A-Fa-f]+\}|\\[\s\S]|\[:\^?[a-z]+:\]|\(\?P<|[\s\S]/gu;

/** A literal text as an expression. */
export function escapeExpression(text: string): string {
  return text.replace(/[\^$\\.*+?()[\]{}|/]/g, '\\$&');
}

/**
 * An expression of Go as agents compile it: JavaScript's, with the flag `u`. A leading `(?i)` becomes classes
 * of both cases. Throws a SyntaxError when there is no such expression.
 */
export function convertExpression(expression: string): string {
  const flags = /^\(\?([a-z]+)\)/.exec(expression)?.[1] ?? '';
  if (/[^is]/.test(flags)) throw new SyntaxError(`the flags (?${flags}) are not known here`);
  const body = flags ? expression.slice(flags.length + 3) : expression;
  const converted = convertTokens(body, { ignoresCase: flags.includes('i'), dotIsAll: flags.includes('s') });
  // As agents compile it.
  new RegExp(converted, 'u');
  return converted;
}

function convertTokens(body: string, options: { ignoresCase: boolean; dotIsAll: boolean }): string {
  let isInClass = false;
  const converted = (body.match(TOKEN) ?? []).map((token) => {
    if (token === '[' && !isInClass) isInClass = true;
    else if (token === ']' && isInClass) isInClass = false;
    else return convertToken(token, { ...options, isInClass });
    return token;
  });
  return converted.join('');
}

function convertToken(
  token: string,
  { isInClass, ignoresCase, dotIsAll }: { isInClass: boolean; ignoresCase: boolean; dotIsAll: boolean },
): string {
  const posix = /^\[:([a-z]+):\]$/.exec(token)?.[1];
  if (posix && isInClass) return POSIX_CLASSES[posix] ?? token;
  if (token === '(?P<') return '(?<';
  if (token === '.' && dotIsAll && !isInClass) return '[\\s\\S]';
  if (token === '[' && isInClass) return '\\[';
  if (token.startsWith('\\')) return convertEscape(token, isInClass);
  if (!ignoresCase || !/^[A-Za-z]$/.test(token)) return token;
  if (isInClass) throw new SyntaxError('(?i) together with a class of characters is not known here');
  return `[${token.toLowerCase()}${token.toUpperCase()}]`;
}

function convertEscape(token: string, isInClass: boolean): string {
  if (token.startsWith('\\x{')) return `\\u${token.slice(2)}`;
  if (!isInClass && Object.hasOwn(ANCHORS, token)) return ANCHORS[token] ?? token;
  const character = token.slice(1);
  const isPlain = !/[A-Za-z0-9]/.test(character) && !MAY_BE_ESCAPED.test(character);
  return isPlain && !(isInClass && character === '-') ? character : token;
}
