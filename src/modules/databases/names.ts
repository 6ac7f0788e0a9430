import { randomBytes, randomInt } from 'node:crypto';

const LOWER = 'abcdefghijklmnopqrstuvwxyz';
const DIGITS = '0123456789';
const ALPHANUMERIC = `${LOWER}${LOWER.toUpperCase()}${DIGITS}`;

const USERNAME_RANDOM_LENGTH = 15;
const PASSWORD_LENGTH = 32;

/** What the engines, and the services that host them, keep for themselves. */
const RESERVED = new Set([
  'mysql',
  'information_schema',
  'performance_schema',
  'sys',
  'ndbinfo',
  'innodb',
  'mariadb',
  'postgres',
  'template0',
  'template1',
  'pgbouncer',
  'rdsadmin',
  'cloudsqladmin',
  'azure_maintenance',
  'azure_sys',
  // These mean something else than a database in PostgreSQL's access rules.
  'all',
  'sameuser',
  'samerole',
  'samegroup',
  'replication',
]);

export function isReservedName(name: string): boolean {
  const lower = name.toLowerCase();
  return RESERVED.has(lower) || lower.startsWith('pg_');
}

/** Nobody else's: 77 random bits. What has this name on a host was made by the panel. */
export function randomUsername(): string {
  return `u${randomText(`${LOWER}${DIGITS}`, USERNAME_RANDOM_LENGTH)}`;
}

/** 190 random bits, with something of each kind for hosts that insist on it. */
export function randomPassword(): string {
  for (;;) {
    const password = randomText(ALPHANUMERIC, PASSWORD_LENGTH);
    if (/[a-z]/.test(password) && /[A-Z]/.test(password) && /\d/.test(password)) return password;
  }
}

/** For a database that lives for a moment, to try a host out. */
export function randomTrialName(): string {
  return `catalyst_trial_${randomBytes(6).toString('hex')}`;
}

function randomText(alphabet: string, length: number): string {
  return Array.from({ length }, () => alphabet[randomInt(alphabet.length)]).join('');
}
