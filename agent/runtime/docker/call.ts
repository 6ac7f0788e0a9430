import type Docker from 'dockerode';

/** What most calls may take; an engine whose disk is busy answers slowly but does answer. */
const CALL_TIMEOUT_MS = 30_000;

/**
 * A call that answers in time or rejects. The signal alone is not enough: dockerode never settles a call whose
 * connection breaks between the answer's head and its end.
 */
export function callEngine<Result>(
  call: (abortSignal: AbortSignal) => Promise<Result>,
  timeoutMs = CALL_TIMEOUT_MS,
): Promise<Result> {
  const abortSignal = AbortSignal.timeout(timeoutMs);
  const silence = new Promise<never>((_, reject) => {
    const fail = () => reject(new Error(`the Docker engine did not answer within ${timeoutMs / 1000} s`));
    abortSignal.addEventListener('abort', fail, { once: true });
  });
  return Promise.race([call(abortSignal), silence]);
}

export function inspectContainer(container: Docker.Container): Promise<Docker.ContainerInspectInfo> {
  return callEngine((abortSignal) => container.inspect({ abortSignal }));
}

/**
 * Settles when the engine says that the container does not run, or ends the connection without saying anything.
 * Not dockerode's `wait`, which in the second case would wait for ever (see above).
 */
export function waitWhileRunning(container: Docker.Container, abortSignal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = {
      path: `/containers/${container.id}/wait`,
      method: 'POST',
      isStream: true,
      statusCodes: { 200: true, 404: 'no such container', 500: 'server error' },
      abortSignal,
    };
    container.modem.dial(request, (error: unknown, answer: NodeJS.ReadableStream) => {
      if (error) return reject(error);
      answer.on('error', reject);
      answer.on('close', resolve);
      answer.resume();
    });
  });
}
