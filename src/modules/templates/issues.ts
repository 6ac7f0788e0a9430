import type { z } from 'zod';

const ISSUES_MAX = 5;
const MESSAGE_MAX_LENGTH = 900;

/** `variables.0.name: is not the name of a variable; …` */
export function describeIssues(error: z.ZodError): string {
  const sentences = error.issues
    .slice(0, ISSUES_MAX)
    .map(({ path, message }) => (path.length === 0 ? message : `${path.join('.')}: ${message}`));
  return sentences.join('; ').slice(0, MESSAGE_MAX_LENGTH);
}
