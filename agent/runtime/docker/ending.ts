import type Docker from 'dockerode';
import { z } from 'zod';
import type { ServerExit } from '../runtime.js';
import { callEngine } from './call.js';

/** The longest that a server is taken to have needed to end after it was asked to from outside. */
const SIGNAL_TO_END_MAX_MS = 60_000;

const ContainerEvent = z.object({ Action: z.string() });

/**
 * Whether the engine itself saw the container end and had not signalled it before.
 *
 * An engine that is stopped ends its containers by SIGTERM, and a game that then saves and exits with 0 looks just
 * like one that somebody quit from inside. The engine's own events tell: it notes each signal it sends ("kill") and
 * each end ("die"), in memory. So a signal in there means that the end came from outside; no end in there, or no
 * answer, means that the engine was stopped, or the machine was, since. All of these must count as a crash: a
 * server that is started once too often can be stopped again, one that stays down after a reboot is found by players.
 */
export async function hasEndedByItself(
  docker: Docker,
  containerId: string,
  exit: ServerExit,
): Promise<boolean> {
  const options = {
    since: (exit.finishedAt.getTime() - SIGNAL_TO_END_MAX_MS) / 1000,
    until: Date.now() / 1000,
    filters: { container: [containerId], event: ['kill', 'die'] },
  };
  try {
    const actions = await callEngine(docker, async (abortSignal) => {
      const request = { ...options, abortSignal };
      return readActions(await docker.getEvents(request));
    });
    return actions.includes('die') && !actions.includes('kill');
  } catch {
    return false;
  }
}

/** The engine answers with JSON objects, one on each line: two for most containers, 256 at most. */
async function readActions(stream: NodeJS.ReadableStream): Promise<string[]> {
  let text = '';
  for await (const chunk of stream) text += chunk.toString();
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  return lines.map((line) => ContainerEvent.parse(JSON.parse(line)).Action);
}
