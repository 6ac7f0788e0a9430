/** Each bucket is so much wider than the one before it: no value is told more wrongly than that. */
const GROWTH = 1.02;
const BUCKETS = 1200;
const LOG_GROWTH = Math.log(GROWTH);

/** Times in milliseconds, countable by the million, sendable to another process. */
export interface Histogram {
  count: number;
  maxMs: number;
  buckets: Uint32Array;
}

export function createHistogram(): Histogram {
  return { count: 0, maxMs: 0, buckets: new Uint32Array(BUCKETS) };
}

export function record(histogram: Histogram, ms: number): void {
  const microseconds = Math.max(1, ms * 1000);
  const index = Math.min(BUCKETS - 1, Math.floor(Math.log(microseconds) / LOG_GROWTH));
  histogram.buckets[index] = (histogram.buckets[index] ?? 0) + 1;
  histogram.count += 1;
  histogram.maxMs = Math.max(histogram.maxMs, ms);
}

/** @param fraction 0.99 for p99. Zero when nothing was recorded. */
export function percentile(histogram: Histogram, fraction: number): number {
  const wanted = Math.ceil(histogram.count * fraction);
  let seen = 0;
  for (const [index, count] of histogram.buckets.entries()) {
    seen += count;
    if (seen >= wanted && seen > 0) return Math.min(histogram.maxMs, GROWTH ** (index + 1) / 1000);
  }
  return 0;
}

export function merge(histograms: Histogram[]): Histogram {
  const total = createHistogram();
  for (const { count, maxMs, buckets } of histograms) {
    total.count += count;
    total.maxMs = Math.max(total.maxMs, maxMs);
    for (const [index, value] of buckets.entries())
      total.buckets[index] = (total.buckets[index] ?? 0) + value;
  }
  return total;
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? 0) + upper) / 2;
}
