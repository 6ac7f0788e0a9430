/** So long at most those who move files wait at a stretch. */
const HOLD_MAX_MS = 100;
/** Of that, what is kept for commands: they are rare, and somebody waits for each. */
const KEPT_FOR_COMMANDS_MS = 60;
/** Less is not worth a halt. */
const HOLD_MIN_MS = 10;

/**
 * What is short goes before what is long: moving files takes all of the processor that there is, and a request of a dozen
 * small steps would wait for its turn at each of them. Nobody starves: files wait for half of the time at most.
 */
export interface Precedence {
  /** Those who move files wait until the returned function is called, but not for long. */
  goFirst(what: 'command' | 'question'): () => void;
  /**
   * For those who move files, before they take the next piece.
   * @returns Whether they are to wait. Then `goOn` is called when they have waited.
   */
  mustWait(goOn: () => void): boolean;
}

export function createPrecedence(): Precedence {
  const waiting: (() => void)[] = [];
  let requests = 0;
  let holdEndsAt = 0;
  /** What may be held yet: used while files wait, and made up for while they do not. */
  let allowanceMs = HOLD_MAX_MS;
  let settledAt = performance.now();
  let timer: NodeJS.Timeout | undefined;

  function isHeld(now: number): boolean {
    return requests > 0 && now < holdEndsAt;
  }

  function settle(now: number): void {
    const held = Math.max(0, Math.min(now, holdEndsAt) - settledAt);
    const rested = now - settledAt - held;
    allowanceMs = Math.min(HOLD_MAX_MS, allowanceMs - held + rested);
    settledAt = now;
  }

  function letOn(): void {
    clearTimeout(timer);
    timer = undefined;
    for (const goOn of waiting.splice(0)) goOn();
  }

  return {
    goFirst(what) {
      const now = performance.now();
      settle(now);
      const usableMs = what === 'command' ? allowanceMs : allowanceMs - KEPT_FOR_COMMANDS_MS;
      if (usableMs >= HOLD_MIN_MS) holdEndsAt = Math.max(holdEndsAt, now + usableMs);
      requests += 1;
      let isOver = false;
      const over = () => {
        if (isOver) return;
        isOver = true;
        clearTimeout(forgetting);
        settle(performance.now());
        requests -= 1;
        if (requests > 0) return;
        holdEndsAt = settledAt;
        letOn();
      };
      // Nothing is held for it any longer, and of some that are broken off nobody says the end.
      const forgetting = setTimeout(over, HOLD_MAX_MS).unref();
      return over;
    },
    mustWait(goOn) {
      const now = performance.now();
      if (!isHeld(now)) return false;
      waiting.push(goOn);
      timer ??= setTimeout(letOn, holdEndsAt - now);
      return true;
    },
  };
}
