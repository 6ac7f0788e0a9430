import { z } from 'zod';

const Claims = z.object({ exp: z.number() });

/** When a token that has been verified ends. An API key, which is no such token, ends when the database says so. */
export function expiryOf(token: string): number {
  const [, claims = ''] = token.split('.');
  try {
    return Claims.parse(JSON.parse(Buffer.from(claims, 'base64url').toString())).exp * 1000;
  } catch {
    return Number.POSITIVE_INFINITY;
  }
}
