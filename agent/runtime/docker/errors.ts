import { isErrorCode } from '../../atomic-file.js';
import { RUNTIME_UNAVAILABLE } from '../runtime.js';

/** A server could not be made or started; the sentence is for its owner, the code for programs. */
export class DockerError extends Error {
  override name = 'DockerError';
  constructor(
    readonly code:
      | 'port.in_use'
      | 'image.missing'
      | 'container.name_taken'
      | 'container.failed'
      | 'network.mismatch'
      | 'network.failed'
      | 'address.in_use'
      | typeof RUNTIME_UNAVAILABLE,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}

/** A call took longer than it may. */
export class EngineSilence extends Error {
  override name = 'EngineSilence';
}

/** The HTTP status that the engine refused with; null when it did not answer at all. */
export function engineStatus(error: unknown): number | null {
  if (!(error instanceof Error) || !('statusCode' in error)) return null;
  return typeof error.statusCode === 'number' ? error.statusCode : null;
}

/** The engine's own sentence, without the wrapping that dockerode puts around it. */
export function engineMessage(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const json = 'json' in error ? error.json : null;
  if (typeof json === 'object' && json !== null && 'message' in json && typeof json.message === 'string') {
    return json.message;
  }
  return error.message.replace(/^\(HTTP code \d+\) .*? - /, '').trim();
}

/** Dockerode itself or anything that it gave; its types leave out what is in `modem`. */
export interface EngineHandle {
  modem: unknown;
}

/** What is thrown for an error of a call: an engine that was not reached is told apart from one that refused. */
export function callFailure(error: unknown, { modem }: EngineHandle): unknown {
  if (!isConnectionFailure(error)) return error;
  const isKnown = typeof modem === 'object' && modem !== null && 'socketPath' in modem;
  const where = isKnown ? ` (socket ${modem.socketPath})` : '';
  const sentence = `Docker does not answer on this node${where}: is it running?`;
  return new DockerError(RUNTIME_UNAVAILABLE, sentence, { cause: error });
}

/** A silent engine counts too: where systemd listens for it, connections to one that is away just wait. */
function isConnectionFailure(error: unknown): boolean {
  if (error instanceof EngineSilence) return true;
  if (!(error instanceof Error) || engineStatus(error) !== null) return false;
  const isRefused = 'syscall' in error && error.syscall === 'connect';
  return isRefused || isErrorCode(error, 'ECONNRESET') || isErrorCode(error, 'EPIPE');
}

export const isUnavailable = (error: unknown): boolean =>
  error instanceof DockerError && error.code === RUNTIME_UNAVAILABLE;

export const isMissing = (error: unknown): boolean => engineStatus(error) === 404;

/** Why a container did not start, as a sentence that its owner can act on. */
export function startFailure(error: unknown, containerName: string): unknown {
  if (isUnavailable(error)) return error;
  const message = engineMessage(error);
  const port =
    message.match(/:(\d+) failed: port is already allocated/)?.[1] ??
    message.match(/listen (?:tcp|udp)[46]? \S*:(\d+): bind: address already in use/)?.[1];
  if (port !== undefined) {
    return new DockerError('port.in_use', `port ${port} is already in use on this node`, { cause: error });
  }
  if (/address already in use/i.test(message)) {
    const sentence = 'the address of the server is already in use in its network';
    return new DockerError('address.in_use', sentence, { cause: error });
  }
  const sentence = `the container ${containerName} did not start: ${message}`;
  return new DockerError('container.failed', sentence, { cause: error });
}
