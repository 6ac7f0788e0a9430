/** One sample is kept of each this often. */
const SAMPLE_INTERVAL_MS = 30_000;
/** Samples wait so long for others to be stored with. */
const FLUSH_MS = 1000;
/** When the database is away samples are lost: newer ones will come. */
const SAMPLES_MAX = 10_000;
/** What says nothing for so long is forgotten. */
const FRESH_MS = 60_000;

export interface Sample<Value> {
  id: string;
  at: Date;
  value: Value;
}

export interface Sampler<Value> {
  record(id: string, value: Value): void;
  newest(id: string): Value | undefined;
  forget(id: string): void;
  /** Stores what is waiting. */
  close(): Promise<void>;
}

interface Source<Value> {
  value: Value;
  seenAtMs: number;
  sampledAtMs: number;
}

/** Of what is measured every second or so, passes on one in thirty seconds, in bulk; the first one soon. */
export function createSampler<Value>(options: {
  store(samples: Sample<Value>[]): Promise<void>;
  onFailed(error: unknown): void;
}): Sampler<Value> {
  const sources = new Map<string, Source<Value>>();
  let samples: Sample<Value>[] = [];
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();

  function flush(): void {
    timer = undefined;
    const taken = samples;
    samples = [];
    forgetSilent();
    if (taken.length > 0) running = running.then(() => options.store(taken)).catch(options.onFailed);
  }

  function forgetSilent(): void {
    const oldestMs = Date.now() - FRESH_MS;
    for (const [id, source] of sources) if (source.seenAtMs < oldestMs) sources.delete(id);
  }

  return {
    record(id, value) {
      const nowMs = Date.now();
      const sampledAtMs = sources.get(id)?.sampledAtMs ?? 0;
      const isDue = nowMs - sampledAtMs >= SAMPLE_INTERVAL_MS && samples.length < SAMPLES_MAX;
      sources.set(id, { value, seenAtMs: nowMs, sampledAtMs: isDue ? nowMs : sampledAtMs });
      if (!isDue) return;
      samples.push({ id, at: new Date(nowMs), value });
      timer ??= setTimeout(flush, FLUSH_MS);
    },
    newest(id) {
      const source = sources.get(id);
      return source && Date.now() - source.seenAtMs < FRESH_MS ? source.value : undefined;
    },
    forget: (id) => sources.delete(id),
    async close() {
      clearTimeout(timer);
      flush();
      await running;
    },
  };
}
