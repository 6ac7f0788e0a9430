import { Refusal } from './refusal.js';

/** One power action at a time for one server. */
export interface Actions {
  /** The name of the action that is under way. */
  readonly current: string | null;
  /** Rejects with `server.busy` when another action is under way. */
  perform(name: string, action: (signal: AbortSignal) => Promise<void>): Promise<void>;
  /** Abort the signal of the action under way. */
  abort(): void;
  /** Settles, never rejecting, when the action under way (of that name, if one is given) has ended. */
  settled(name?: string): Promise<void>;
  /** Refuse everything from now on, or take actions again. */
  setClosed(isClosed: boolean): void;
}

export function createActions(): Actions {
  let active: { name: string; controller: AbortController; done: Promise<void> } | null = null;
  let isClosed = false;

  return {
    get current() {
      return active?.name ?? null;
    },
    async perform(name, action) {
      if (isClosed) throw new Refusal('server.busy', 'The server is being deleted.');
      if (active !== null)
        throw new Refusal('server.busy', `The server is busy: ${active.name} is under way.`);
      const controller = new AbortController();
      const result = action(controller.signal);
      const done = result.then(
        () => undefined,
        () => undefined,
      );
      active = { name, controller, done };
      try {
        await result;
      } finally {
        active = null;
      }
    },
    abort() {
      active?.controller.abort();
    },
    async settled(name) {
      if (active !== null && (name === undefined || active.name === name)) await active.done;
    },
    setClosed(closed) {
      isClosed = closed;
    },
  };
}
