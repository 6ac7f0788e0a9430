interface Blocks {
  memory: SharedArrayBuffer;
  blockBytes: number;
  blockCount: number;
}

interface Batches {
  /** What has been added so far is dealt with. @returns The number of the last batch. */
  pass(): number;
  dealtWith(batch: number): Promise<unknown>;
}

/** Memory that is filled here, for what does not come from the thread itself. */
export function createCopying({ memory, blockBytes, blockCount }: Blocks, { pass, dealtWith }: Batches) {
  const bytes = Buffer.from(memory);
  /** The last batch that needs what is in a block. */
  const neededBy = Array.from({ length: blockCount }, () => 0);
  let [turn, filledBytes] = [0, 0];

  return {
    /** @returns Where as much of it is now as there was room for. To be used in the next batch. */
    async add(piece: Buffer): Promise<{ start: number; bytes: number }> {
      if (filledBytes === blockBytes) {
        neededBy[turn] = pass();
        turn = (turn + 1) % blockCount;
        await dealtWith(neededBy[turn] ?? 0);
        filledBytes = 0;
      }
      const start = turn * blockBytes + filledBytes;
      const copied = piece.copy(bytes, start, 0, Math.min(piece.length, blockBytes - filledBytes));
      filledBytes += copied;
      return { start, bytes: copied };
    },
  };
}
