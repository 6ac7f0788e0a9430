import type { Answer } from '../helpers/panel.js';

const SECRET_FIELD = /^(token|secret|password|key|ticket|refreshToken|deploymentToken|recoveryCodes)$/;
/** Shorter ones stand in other words. */
const SECRET_MIN_LENGTH = 12;

/** Remembers every secret that was planted or handed out, and where one turned up that nobody asked for. */
export function createSecretWatch() {
  const planted = new Set<string>();
  const handedOut = new Set<string>();
  const logged: string[] = [];
  const leaks: string[] = [];

  return {
    log: { level: 'trace', write: (line: string) => void logged.push(line) },
    plant(...secrets: string[]): void {
      for (const secret of secrets) if (secret.length >= SECRET_MIN_LENGTH) planted.add(secret);
    },
    /** What was planted is in no answer; what an answer hands out is in no line of the log. */
    look(route: string, { body, text }: Answer): void {
      for (const secret of planted) if (text.includes(secret)) leaks.push(`${route} answered ${secret}`);
      for (const secret of secretsIn(body)) handedOut.add(secret);
    },
    handedOut: () => handedOut.size,
    lines: () => logged.length,
    leaks(): string[] {
      const text = logged.join('');
      const inLog = [...planted, ...handedOut].filter((secret) => text.includes(secret));
      return [...leaks, ...inLog.map((secret) => `the log has ${secret}`)];
    },
  };
}

function secretsIn(value: unknown, field = ''): string[] {
  if (typeof value === 'string') {
    return SECRET_FIELD.test(field) && value.length >= SECRET_MIN_LENGTH ? [value] : [];
  }
  if (Array.isArray(value)) return value.flatMap((item) => secretsIn(item, field));
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([name, child]) => secretsIn(child, name));
}
