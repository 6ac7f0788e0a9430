/** What is added in no order and taken in order, without ever standing still for all of it as one large sort would. */
export interface SortedRuns<Item> {
  add(item: Item): void;
  /** Smallest first. Nothing may be added after. */
  inOrder(): Generator<Item>;
}

/** Sorted at once: a few milliseconds. */
const RUN_LENGTH = 2048;

export function createSortedRuns<Item>(isBefore: (one: Item, other: Item) => boolean): SortedRuns<Item> {
  const runs: Item[][] = [];
  let run: Item[] = [];

  /** The largest first, so that the smallest is taken from the end. */
  function closeRun(): void {
    run.sort((one, other) => (isBefore(one, other) ? 1 : -1));
    runs.push(run);
    run = [];
  }

  function takeSmallest(): Item | undefined {
    let smallest: { item: Item; run: Item[] } | null = null;
    for (const candidate of runs) {
      const item = candidate.at(-1);
      if (item === undefined) continue;
      if (smallest === null || isBefore(item, smallest.item)) smallest = { item, run: candidate };
    }
    return smallest?.run.pop();
  }

  return {
    add(item) {
      run.push(item);
      if (run.length >= RUN_LENGTH) closeRun();
    },
    *inOrder() {
      closeRun();
      for (let item = takeSmallest(); item !== undefined; item = takeSmallest()) yield item;
    },
  };
}
