/** A text as LIKE finds it, whatever characters are in it. */
export function escapeLike(text: string): string {
  return text.replaceAll(/[\\%_]/g, String.raw`\$&`);
}

/** Prisma's filter for what has the text in it, in whatever case. Prisma takes % and _ for what they are to LIKE. */
export function containsText(text: string) {
  return { contains: escapeLike(text), mode: 'insensitive' } as const;
}
