/** Whoever was not heard of for so long may talk to another panel by now. */
const KEPT_MS = 90_000;
const KEPT_MAX = 20_000;

/** The last of what was measured of each, as it came to this panel. */
export interface Latest<Value> {
  record(id: string, value: Value): void;
  find(id: string): { at: Date; value: Value } | null;
}

export function createLatest<Value>(): Latest<Value> {
  const values = new Map<string, { at: Date; value: Value }>();

  /** A Map keeps the order in which its keys came: those that were not heard of for long are first. */
  function forgetOld(nowMs: number): void {
    for (const [id, { at }] of values) {
      if (values.size <= KEPT_MAX && nowMs - at.getTime() <= KEPT_MS) return;
      values.delete(id);
    }
  }

  return {
    record(id, value) {
      const at = new Date();
      values.delete(id);
      values.set(id, { at, value });
      forgetOld(at.getTime());
    },
    find(id) {
      const found = values.get(id);
      return found && Date.now() - found.at.getTime() <= KEPT_MS ? found : null;
    },
  };
}
