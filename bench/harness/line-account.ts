/** Lines, summed over the subscribers of a swarm. */
export interface LineCounts {
  delivered: number;
  /** Announced as a gap. */
  announced: number;
  /** Neither received nor announced: lost in silence. */
  missed: number;
  repeated: number;
}

/** What one subscriber has received, by the lines' numbers. */
export interface LineAccount {
  lastSeq(): number;
  /** The subscription begins after this line. */
  begin(seq: number): void;
  addLines(firstSeq: number, seq: number): void;
  addGap(from: number, to: number): void;
}

export function noLines(): LineCounts {
  return { delivered: 0, announced: 0, missed: 0, repeated: 0 };
}

/** @param counts Where this subscriber's lines are added. */
export function createLineAccount(counts: LineCounts): LineAccount {
  let lastSeq = 0;

  /** Moves on to `to` and answers how many of the numbers were new. */
  function advance(from: number, to: number): number {
    counts.missed += Math.max(0, from - lastSeq - 1);
    const added = Math.max(0, to - Math.max(from, lastSeq + 1) + 1);
    lastSeq = Math.max(lastSeq, to);
    return added;
  }

  return {
    lastSeq: () => lastSeq,
    begin(seq) {
      lastSeq = seq;
    },
    addLines(firstSeq, seq) {
      const added = advance(firstSeq, seq);
      counts.delivered += added;
      counts.repeated += seq - firstSeq + 1 - added;
    },
    addGap(from, to) {
      counts.announced += advance(from, to);
    },
  };
}
