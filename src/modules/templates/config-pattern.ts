const PREFIX = 'regex:';

/**
 * Why a case of a value in a configuration file can never be met: it is an expression (`regex:…`) that agents
 * cannot compile. Null: it is none, or they can.
 */
export function configPatternProblem(current: string): string | null {
  if (!current.startsWith(PREFIX)) return null;
  // Agents take these two of Go's as well, because eggs have them.
  const source = current
    .slice(PREFIX.length)
    .replace(/^\(\?i\)/, '')
    .replaceAll('(?P<', '(?<');
  try {
    new RegExp(source);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : 'is not a regular expression';
  }
}
