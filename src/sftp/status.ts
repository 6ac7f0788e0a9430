import ssh2 from 'ssh2';
import { asAppError } from '../lib/as-app-error.js';
import { AppError } from '../lib/errors.js';

const { STATUS_CODE } = ssh2.utils.sftp;

export type Status = number;

export const OK: Status = STATUS_CODE.OK;

/** As OpenSSH's server answers them; what is not here is a failure with a sentence that says why. */
const STATUSES = new Map<string, Status>([
  ['file.not_found', STATUS_CODE.NO_SUCH_FILE],
  ['file.not_directory', STATUS_CODE.NO_SUCH_FILE],
  ['file.outside', STATUS_CODE.PERMISSION_DENIED],
  ['file.denied', STATUS_CODE.PERMISSION_DENIED],
  ['file.name_invalid', STATUS_CODE.BAD_MESSAGE],
  ['request.invalid', STATUS_CODE.BAD_MESSAGE],
  ['permission.denied', STATUS_CODE.PERMISSION_DENIED],
  ['auth.invalid_token', STATUS_CODE.PERMISSION_DENIED],
  ['server.not_found', STATUS_CODE.PERMISSION_DENIED],
  ['server.suspended', STATUS_CODE.PERMISSION_DENIED],
  ['server.being_deleted', STATUS_CODE.PERMISSION_DENIED],
]);

/** The answer to a request as such: it is sent as it is, and nobody has to look at a log for it. */
export class StatusAnswer extends Error {
  constructor(
    readonly status: Status,
    message = '',
  ) {
    super(message);
  }
}

export const endOfFile = () => new StatusAnswer(STATUS_CODE.EOF, 'End of file');
export const unsupported = (message: string) => new StatusAnswer(STATUS_CODE.OP_UNSUPPORTED, message);
export const failure = (message: string) => new StatusAnswer(STATUS_CODE.FAILURE, message);
export const badMessage = (message: string) => new StatusAnswer(STATUS_CODE.BAD_MESSAGE, message);

/** What a client is told of anything that was thrown. */
export function statusOf(error: unknown): {
  status: Status;
  code: string;
  message: string;
  isFault: boolean;
} {
  if (error instanceof StatusAnswer) {
    return { status: error.status, code: '', message: error.message, isFault: false };
  }
  const { code, message } = asAppError(error);
  const status = STATUSES.get(code) ?? STATUS_CODE.FAILURE;
  return { status, code, message, isFault: code === 'internal.error' };
}

/** Refusals after which nothing more can come of a session: who it is, or what it is about, has gone. */
const FINAL: ReadonlySet<string> = new Set([
  'auth.invalid_token',
  'auth.two_factor_required',
  'server.not_found',
  'server.suspended',
  'server.being_deleted',
]);

export function isFinal(error: unknown): boolean {
  return error instanceof AppError && FINAL.has(error.code);
}

/** Whether somebody may not be here: not that it cannot be told right now, or that the server is in other hands. */
export function isRefusal(error: unknown): error is AppError {
  return error instanceof AppError && error.code !== 'server.busy' && error.statusCode < 500;
}
