/**
 * Times as whole microseconds since 1970, exact in a number until the year 2255. PostgreSQL keeps as many; a Date
 * would cut the last three digits off.
 */

export const MICROSECONDS_MAX = Date.UTC(2255, 0) * 1000;

/** ISO 8601 in UTC, with six digits where three do not say it. */
export function formatMicroseconds(microseconds: number): string {
  const milliseconds = Math.floor(microseconds / 1000);
  const rest = microseconds - milliseconds * 1000;
  const text = new Date(milliseconds).toISOString();
  return rest === 0 ? text : `${text.slice(0, -1)}${String(rest).padStart(3, '0')}Z`;
}

/** Of an ISO 8601 time with any number of digits; what is out of range is the nearest that is not. */
export function parseMicroseconds(text: string): number {
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? '';
  const beyondMilliseconds = Number(fraction.padEnd(6, '0').slice(3, 6));
  const microseconds = Date.parse(text) * 1000 + beyondMilliseconds;
  return Math.min(Math.max(microseconds, 0), MICROSECONDS_MAX);
}
