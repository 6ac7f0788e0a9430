/** One sample is kept of each this often. */
const SAMPLE_INTERVAL_MS = 30_000;
/** Samples wait so long for others to be stored with. */
const FLUSH_MS = 1000;
/** When the database is away samples are lost: newer ones will come. */
const SAMPLES_MAX = 10_000;

export interface Sample<Value> {
  id: string;
  at: Date;
  value: Value;
}

export interface Sampler<Value> {
  record(id: string, value: Value): void;
  /** Stores what is waiting. */
  close(): Promise<void>;
}

/** Of what is measured every second or so, passes on one in thirty seconds, in bulk; the first one soon. */
export function createSampler<Value>(options: {
  store(samples: Sample<Value>[]): Promise<void>;
  onFailed(error: unknown): void;
}): Sampler<Value> {
  const sampledAtMs = new Map<string, number>();
  let samples: Sample<Value>[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();

  function flush(): void {
    timer = undefined;
    const taken = samples;
    samples = [];
    forgetOld();
    if (taken.length > 0) running = running.then(() => options.store(taken)).catch(options.onFailed);
  }

  /** Whatever was sampled longer ago is due anyhow, if it is still there at all. */
  function forgetOld(): void {
    const oldestMs = Date.now() - SAMPLE_INTERVAL_MS;
    for (const [id, atMs] of sampledAtMs) if (atMs <= oldestMs) sampledAtMs.delete(id);
  }

  return {
    record(id, value) {
      const nowMs = Date.now();
      const isDue = nowMs - (sampledAtMs.get(id) ?? 0) >= SAMPLE_INTERVAL_MS;
      if (!isDue || samples.length >= SAMPLES_MAX) return;
      sampledAtMs.set(id, nowMs);
      samples.push({ id, at: new Date(nowMs), value });
      timer ??= setTimeout(flush, FLUSH_MS);
    },
    async close() {
      clearTimeout(timer);
      flush();
      await running;
    },
  };
}
