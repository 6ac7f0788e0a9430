import { FileError } from '../errors.js';

export function refused(message: string): FileError {
  return new FileError('url.refused', message);
}

export function failed(message: string, cause?: unknown): FileError {
  return new FileError('url.failed', message, { cause });
}

const KNOWN: Record<string, string> = {
  ENOTFOUND: 'There is no such host: look at the address for a typing error.',
  EAI_AGAIN: 'The name of the host cannot be looked up now: try again later.',
  ECONNREFUSED: 'The other side takes no connections at this port.',
  ECONNRESET: 'The other side has cut the connection: try again.',
  EPIPE: 'The other side has cut the connection: try again.',
  EHOSTUNREACH: 'The host cannot be reached from the node.',
  ENETUNREACH: 'The host cannot be reached from the node.',
  ETIMEDOUT: 'The other side does not answer.',
  HPE_HEADER_OVERFLOW: 'The answer has more headers than are read.',
};

/** What went wrong on the way, in our words. */
export function toFailure(error: unknown): FileError {
  if (error instanceof FileError) return error;
  const { code, message } = describe(error);
  if (code in KNOWN) return failed(KNOWN[code] ?? '', error);
  if (code.startsWith('HPE_')) return failed('The answer is not HTTP.', error);
  if (/CERT|SELF_SIGNED|UNABLE_TO_|TLS|SSL/.test(code)) {
    return failed(`The connection is not secure (${message.slice(0, 100)}).`, error);
  }
  return failed(`The file could not be fetched (${code === '' ? message.slice(0, 100) : code}).`, error);
}

function describe(error: unknown): { code: string; message: string } {
  if (!(error instanceof Error)) return { code: '', message: String(error) };
  // Of several addresses none answered: the first says why.
  if (error instanceof AggregateError && error.errors.length > 0) return describe(error.errors[0]);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  return { code, message: error.message };
}
