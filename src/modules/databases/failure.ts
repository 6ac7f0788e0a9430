import { AppError } from '../../lib/errors.js';

/**
 * `unavailable`: not reached, or lost on the way, so that nobody knows whether the last statement was carried out.
 * The others are answers of the host: the account's password is wrong (`login`), it lacks a right (`denied`), the
 * name exists (`taken`), everybody may use databases of that name (`public`), anything else (`refused`).
 */
export type HostFailureKind = 'unavailable' | 'login' | 'denied' | 'taken' | 'public' | 'refused';

const MESSAGE_MAX_LENGTH = 500;

/** Why a database host did not do what it was asked for, in words that hold no statement and so no password. */
export class HostFailure extends Error {
  override name = 'HostFailure';
  constructor(
    readonly kind: HostFailureKind,
    message: string,
  ) {
    super(message);
  }
}

/** Access denied, a plugin that the driver does not have, a password that has expired, an address that may not. */
const MYSQL_LOGIN = new Set([1045, 1130, 1251, 1698, 1820, 1862, 3118]);
const MYSQL_DENIED = new Set([1044, 1095, 1142, 1143, 1227, 1370, 1410]);
const MYSQL_DATABASE_EXISTS = 1007;
/** Too many connections, shutting down, a lock or a time-out. */
const MYSQL_UNAVAILABLE = new Set([1040, 1053, 1129, 1203, 1205, 1317, 1969, 3024]);

export function mysqlFailure(error: unknown): HostFailure {
  if (error instanceof HostFailure) return error;
  const { code, errno, message } = readError(error);
  const text = code ? `${code}: ${message}` : message;
  if (typeof errno !== 'number' || errno <= 0 || MYSQL_UNAVAILABLE.has(errno)) {
    return new HostFailure('unavailable', text);
  }
  if (MYSQL_LOGIN.has(errno)) return new HostFailure('login', text);
  if (MYSQL_DENIED.has(errno)) return new HostFailure('denied', text);
  if (errno === MYSQL_DATABASE_EXISTS) return new HostFailure('taken', text);
  return new HostFailure('refused', text);
}

const SQLSTATE = /^[0-9A-Z]{5}$/;
/** Connection, resources, shutting down, cancelled, locked, in use. */
const POSTGRESQL_UNAVAILABLE = /^(08|53|57P|57014|55P03|55006)/;

export function postgresqlFailure(error: unknown): HostFailure {
  if (error instanceof HostFailure) return error;
  const { code, message } = readError(error);
  const text = code ? `${code}: ${message}` : message;
  if (!SQLSTATE.test(code) || POSTGRESQL_UNAVAILABLE.test(code)) return new HostFailure('unavailable', text);
  if (code.startsWith('28')) return new HostFailure('login', text);
  if (code === '42501') return new HostFailure('denied', text);
  if (code === '42P04' || code === '42710') return new HostFailure('taken', text);
  return new HostFailure('refused', text);
}

/** The same failure, with what the account would need for it. */
export async function needing<Result>(right: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof HostFailure) || error.kind !== 'denied') throw error;
    throw new HostFailure('denied', `the account may not ${right} (${error.message})`);
  }
}

/** What the user of a server is told. Only names are his to choose; the rest is between the panel and the host. */
export function answerForUser(error: unknown): unknown {
  if (!(error instanceof HostFailure)) return error;
  if (error.kind === 'taken') return new AppError('database.name_taken', undefined, { cause: error });
  if (error.kind === 'public') {
    return new AppError('request.invalid', `body.name: ${error.message}`, { cause: error });
  }
  return new AppError('database_host.unavailable', undefined, { cause: error });
}

/** What an administrator is told who wants to store the host. */
export function answerForAdministrator(error: unknown): unknown {
  if (!(error instanceof HostFailure)) return error;
  if (error.kind === 'unavailable') {
    const message = `The database host cannot be used: ${error.message}. Nothing was stored.`;
    return new AppError('database_host.unavailable', message, { cause: error });
  }
  const what =
    error.kind === 'login' ? 'The database host refuses this account' : 'The account is not enough';
  return new AppError('database_host.unsuitable', `${what}: ${error.message}. Nothing was stored.`, {
    cause: error,
  });
}

function readError(error: unknown): { code: string; errno: unknown; message: string } {
  if (typeof error !== 'object' || error === null) return { code: '', errno: null, message: String(error) };
  const { code, errno, message, errors } = error as Record<string, unknown>;
  // Several addresses were tried: the error itself says nothing then.
  const first: unknown = Array.isArray(errors) ? errors[0] : undefined;
  const text = message || (first instanceof Error ? first.message : '');
  // Whatever answers at the port may say what it likes, and as much of it.
  return {
    code: typeof code === 'string' ? code : '',
    errno,
    message: String(text).slice(0, MESSAGE_MAX_LENGTH),
  };
}

/** For the log. The driver's own errors carry whole statements. */
export function reasonOf(error: unknown): string {
  return readError(error).message;
}
