import type Docker from 'dockerode';
import { callFailure, type EngineHandle, EngineSilence } from './errors.js';

/** What most calls may take; an engine whose disk is busy answers slowly but does answer. */
const CALL_TIMEOUT_MS = 30_000;

/**
 * A call that answers in time or rejects, with the code `RUNTIME_UNAVAILABLE` when the engine was not reached. The signal alone is not enough: dockerode never settles a call whose
 * connection breaks between the answer's head and its end.
 */
export async function callEngine<Result>(
  engine: EngineHandle,
  call: (abortSignal: AbortSignal) => Promise<Result>,
  timeoutMs = CALL_TIMEOUT_MS,
): Promise<Result> {
  const abortSignal = AbortSignal.timeout(timeoutMs);
  const silence = new Promise<never>((_, reject) => {
    const fail = () =>
      reject(new EngineSilence(`the Docker engine did not answer within ${timeoutMs / 1000} s`));
    abortSignal.addEventListener('abort', fail, { once: true });
  });
  try {
    return await Promise.race([call(abortSignal), silence]);
  } catch (error) {
    throw callFailure(error, engine);
  }
}

export function inspectContainer(container: Docker.Container): Promise<Docker.ContainerInspectInfo> {
  return callEngine(container, (abortSignal) => container.inspect({ abortSignal }));
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
