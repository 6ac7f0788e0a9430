/** A server could not be made or started; the sentence is for its owner, the code for programs. */
export class DockerError extends Error {
  override name = 'DockerError';
  constructor(
    readonly code: 'port.in_use' | 'image.missing' | 'container.name_taken' | 'container.failed',
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
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

export const isMissing = (error: unknown): boolean => engineStatus(error) === 404;

/** Why a container did not start, as a sentence that its owner can act on. */
export function startFailure(error: unknown, containerName: string): DockerError {
  const message = engineMessage(error);
  const port =
    message.match(/:(\d+) failed: port is already allocated/)?.[1] ??
    message.match(/listen (?:tcp|udp)[46]? \S*:(\d+): bind: address already in use/)?.[1];
  if (port !== undefined) {
    return new DockerError('port.in_use', `port ${port} is already in use on this node`, { cause: error });
  }
  const sentence = `the container ${containerName} did not start: ${message}`;
  return new DockerError('container.failed', sentence, { cause: error });
}
