import { FileError } from '../files/errors.js';

interface Waiting {
  serverUuid: string;
  enter(): void;
}

export interface Turns {
  /** Waits for a turn and answers how it is given back. Throws `file.busy` when too many wait already. */
  take(serverUuid: string, signal: AbortSignal): Promise<() => void>;
}

/** So many at once, the others in turn; but nobody waits for a second of a server while his own has none. */
export function createTurns({ atOnceMax, waitingMax }: { atOnceMax: number; waitingMax: number }): Turns {
  const running: string[] = [];
  const waiting = new Set<Waiting>();

  function occupy(serverUuid: string): () => void {
    running.push(serverUuid);
    let isHeld = true;
    return () => {
      if (!isHeld) return;
      isHeld = false;
      running.splice(running.indexOf(serverUuid), 1);
      nextOf([...waiting])?.enter();
    };
  }

  function nextOf(inTurn: Waiting[]): Waiting | undefined {
    return inTurn.find(({ serverUuid }) => !running.includes(serverUuid)) ?? inTurn[0];
  }

  return {
    async take(serverUuid, signal) {
      signal.throwIfAborted();
      if (running.length < atOnceMax) return occupy(serverUuid);
      if (waiting.size >= waitingMax) {
        throw new FileError('file.busy', 'The node has too much to do at the moment: try again later.');
      }
      return new Promise((resolve, reject) => {
        const leave = () => {
          waiting.delete(entry);
          signal.removeEventListener('abort', onAbort);
        };
        const onAbort = () => {
          leave();
          reject(signal.reason);
        };
        const entry: Waiting = {
          serverUuid,
          enter() {
            leave();
            resolve(occupy(serverUuid));
          },
        };
        signal.addEventListener('abort', onAbort);
        waiting.add(entry);
      });
    },
  };
}
