/** A text as LIKE finds it, whatever characters are in it. */
export function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}
