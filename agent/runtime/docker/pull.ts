import type Docker from 'dockerode';
import { z } from 'zod';
import { InstallError, type InstallListener } from '../runtime.js';
import { callEngine } from './call.js';
import { callFailure, engineMessage, isMissing, isUnavailable } from './errors.js';
import { parseImage } from './names.js';

/** A registry that sends nothing for so long will not send anything any more. */
const SILENCE_MAX_MS = 5 * 60_000;
const EVENT_MAX_BYTES = 1024 * 1024;

const PullEvent = z.object({
  id: z.string().optional(),
  status: z.string().optional(),
  error: z.string().optional(),
  progressDetail: z.object({ current: z.number().optional(), total: z.number().optional() }).optional(),
});
type PullEvent = z.infer<typeof PullEvent>;

/**
 * Have the image on this machine. One that is here is taken as it is, except `latest`, for which the registry
 * is asked first; when that fails, the one that is here serves, with a message.
 * Rejects with an InstallError, or with whatever `signal` makes of an abort.
 */
export async function ensureImage(
  docker: Docker,
  image: string,
  listener: InstallListener,
  signal: AbortSignal,
): Promise<void> {
  const { reference, isFloating } = parseImage(image);
  const isHere = await hasImage(docker, reference);
  if (isHere && !isFloating) return;
  try {
    await pull(docker, reference, listener, signal);
  } catch (error) {
    signal.throwIfAborted();
    if (isUnavailable(error)) throw error;
    if (!isHere) {
      throw new InstallError(`the image ${reference} could not be pulled: ${engineMessage(error)}`, null, {
        cause: error,
      });
    }
    const message = `${reference} could not be pulled (${engineMessage(error)}); the one on this machine is used`;
    listener.onProgress('pulling', null, message);
  }
}

async function hasImage(docker: Docker, reference: string): Promise<boolean> {
  try {
    await callEngine(docker, () => docker.getImage(reference).inspect());
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

async function pull(docker: Docker, reference: string, listener: InstallListener, signal: AbortSignal) {
  listener.onProgress('pulling', 0, `pulling ${reference}`);
  const silence = new AbortController();
  const timer = setTimeout(() => silence.abort(new Error('the registry is silent')), SILENCE_MAX_MS);
  try {
    const abortSignal = AbortSignal.any([signal, silence.signal]);
    const stream = await docker.pull(reference, { abortSignal });
    const progress = createPullProgress();
    let lastPercent = 0;
    for await (const event of readEvents(stream)) {
      timer.refresh();
      if (event.error !== undefined) throw new Error(event.error);
      const percent = progress.take(event);
      if (percent > lastPercent) listener.onProgress('pulling', percent);
      lastPercent = Math.max(percent, lastPercent);
    }
    signal.throwIfAborted();
  } catch (error) {
    silence.signal.throwIfAborted();
    throw callFailure(error, docker);
  } finally {
    clearTimeout(timer);
  }
}

/** The engine answers with JSON objects, one on each line. */
async function* readEvents(stream: NodeJS.ReadableStream): AsyncGenerator<PullEvent> {
  let rest = '';
  for await (const chunk of stream) {
    rest += chunk.toString();
    const lines = rest.split('\n');
    rest = lines.pop() ?? '';
    if (rest.length > EVENT_MAX_BYTES) throw new Error('the engine sent an endless line');
    for (const line of lines) if (line.trim() !== '') yield PullEvent.parse(JSON.parse(line));
  }
}

/**
 * Percent over all layers, of which downloading is the first and larger part. It never reaches 100 while layers
 * may still be announced, and what is told to the user never goes back (see `pull`).
 */
function createPullProgress() {
  const layers = new Map<string, { downloaded: number; extracted: number }>();
  return {
    take({ id, status, progressDetail }: PullEvent): number {
      if (id === undefined || status === undefined) return overall();
      const part = (progressDetail?.current ?? 0) / Math.max(progressDetail?.total ?? 1, 1);
      if (status === 'Pulling fs layer' || status === 'Waiting')
        layers.set(id, { downloaded: 0, extracted: 0 });
      const layer = layers.get(id);
      if (layer === undefined) return overall();
      if (status === 'Downloading') layer.downloaded = part;
      if (status === 'Download complete') layer.downloaded = 1;
      if (status === 'Extracting') layers.set(id, { downloaded: 1, extracted: part });
      if (status === 'Pull complete') layers.set(id, { downloaded: 1, extracted: 1 });
      return overall();
    },
  };

  function overall(): number {
    if (layers.size === 0) return 0;
    let sum = 0;
    for (const { downloaded, extracted } of layers.values()) sum += 0.7 * downloaded + 0.3 * extracted;
    return Math.min(Math.floor((sum / layers.size) * 100), 100);
  }
}
