import type { FileEntry } from '../protocol/data-plane.js';
import type { Flow } from './flow.js';

/** Who changes files other than the client itself is seen so much later at most. */
const KNOWN_MAX_MS = 100;
const KEYS_MAX = 64;

/** What the node has just said, for the one question that clients ask right after it. */
export interface Known<Key, Value> {
  hold(key: Key, value: Value): void;
  /** Once: who asks again wants to know it anew. Undefined: it is not known, or the client has changed something since. */
  take(key: Key): Value | undefined;
  forget(key: Key): void;
}

/** By their paths, with links followed. */
export type KnownEntries = Known<string, FileEntry>;

/**
 * A client that copies a file asks for its size when it has opened it, reads once more at its end, and looks at what it has
 * just set: with small files that is half of all questions.
 */
export function createKnown<Key, Value>(flow: Pick<Flow, 'shownChanges'>): Known<Key, Value> {
  const held = new Map<Key, { value: Value; heldAtMs: number }>();
  let changes = flow.shownChanges();

  function forgetIfChanged(): void {
    if (changes !== flow.shownChanges()) held.clear();
    changes = flow.shownChanges();
  }

  return {
    hold(key, value) {
      forgetIfChanged();
      if (held.size >= KEYS_MAX) held.clear();
      held.set(key, { value, heldAtMs: performance.now() });
    },
    forget: (key) => void held.delete(key),
    take(key) {
      forgetIfChanged();
      const found = held.get(key);
      held.delete(key);
      return found && performance.now() - found.heldAtMs < KNOWN_MAX_MS ? found.value : undefined;
    },
  };
}
