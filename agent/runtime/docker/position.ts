import type { LogEntry } from './frames.js';

/** The last entry that was handed over: its time, how many of that very time were, and its data where known. */
interface Mark {
  time: string;
  count: number;
  data: Buffer | null;
}
interface Marks {
  stdout: Mark | null;
  stderr: Mark | null;
}

const STREAMS = ['stdout', 'stderr'] as const;
/**
 * The engine stamps the two streams independently of each other, so in its log a later entry may carry the
 * slightly earlier time. It is asked for this much more than seems needed.
 */
const OVERLAP_MS = 2000;
const NEWLINE = 0x0a;
const CURSOR =
  /^(?<container>[0-9a-f]{12})(?: stdout=(?<stdout>[^ #]{30})#(?<stdoutCount>\d{1,9}))?(?: stderr=(?<stderr>[^ #]{30})#(?<stderrCount>\d{1,9}))?$/;

/**
 * Which entries of a container's log were handed over already. The engine numbers nothing; an entry is told by its
 * stream, its time, and its place among those of the same time.
 */
export interface LogPosition {
  /** For the engine's `since`: seconds with a fraction; null for everything. */
  since(): string | null;
  /** To be called before the log is read (again): from there on known entries are passed over. */
  rewind(): void;
  /** False for an entry that was handed over before. */
  take(entry: LogEntry): boolean;
  /** While true, known entries may still come, and it may turn out that some are missing. */
  isCatchingUp(): boolean;
  /** True once after entries turned out to be missing: the engine had rotated them away. */
  takeLoss(): boolean;
  /** Time of the last entry; empty when there was none. */
  lastTime(): string;
  /** All of this as a word that `createLogPosition` understands. */
  cursor(): string;
}

/** A cursor of another container, or none, begins at the log's first entry. */
export function createLogPosition(containerId: string, cursor: string | null): LogPosition {
  const container = containerId.slice(0, 12);
  const marks = parseCursor(container, cursor);
  let missing: Marks = { stdout: null, stderr: null };
  let isLost = false;

  const lastTime = () => STREAMS.map((name) => marks[name]?.time ?? '').sort()[1] ?? '';

  return {
    lastTime,
    since: () => (lastTime() === '' ? null : secondsOf(lastTime(), -OVERLAP_MS)),
    rewind() {
      const from = lastTime() === '' ? 0 : Date.parse(lastTime()) - OVERLAP_MS;
      // A stream that has been silent for longer than the overlap has no entry in what will be read.
      const expected = (mark: Mark | null) =>
        mark !== null && Date.parse(mark.time) > from ? { ...mark } : null;
      missing = { stdout: expected(marks.stdout), stderr: expected(marks.stderr) };
    },
    take(entry) {
      const { stream, time } = entry;
      for (const name of STREAMS) {
        const expected = missing[name];
        if (expected === null) continue;
        const isPast =
          name === stream ? time > expected.time : Date.parse(time) > Date.parse(expected.time) + OVERLAP_MS;
        if (!isPast) continue;
        missing[name] = null;
        isLost = true;
      }
      const mark = marks[stream];
      if (missing[stream] === null && mark !== null && isRepeated(mark, entry)) missing[stream] = { ...mark };
      const expected = missing[stream];
      if (expected !== null) {
        if (time === expected.time) expected.count -= 1;
        if (expected.count === 0) missing[stream] = null;
        return false;
      }
      marks[stream] = { time, count: mark?.time === time ? mark.count + 1 : 1, data: entry.data };
      return true;
    },
    isCatchingUp: () => missing.stdout !== null || missing.stderr !== null,
    takeLoss() {
      const was = isLost;
      isLost = false;
      return was;
    },
    cursor: () =>
      STREAMS.reduce((text, name) => {
        const mark = marks[name];
        return mark === null ? text : `${text} ${name}=${mark.time}#${mark.count}`;
      }, container),
  };
}

/**
 * Engines before 24 sometimes read a new file twice when a log rotates. More than the overlap is rather a clock
 * that was set back, and what was written since is new.
 */
function isRepeated(mark: Mark, { time, data }: LogEntry): boolean {
  if (time === mark.time) return mark.data?.equals(data) === true && data.at(-1) === NEWLINE;
  return time < mark.time && Date.parse(mark.time) - Date.parse(time) <= OVERLAP_MS;
}

function parseCursor(container: string, cursor: string | null): Marks {
  const groups = cursor === null ? undefined : CURSOR.exec(cursor)?.groups;
  if (groups === undefined || groups.container !== container) return { stdout: null, stderr: null };
  const mark = (time: string | undefined, count: string | undefined): Mark | null =>
    time === undefined ? null : { time, count: Number(count), data: null };
  return {
    stdout: mark(groups.stdout, groups.stdoutCount),
    stderr: mark(groups.stderr, groups.stderrCount),
  };
}

/** Not through a number: a JavaScript date has no nanoseconds. */
function secondsOf(time: string, shiftMs: number): string {
  const seconds = Date.parse(`${time.slice(0, 19)}Z`) / 1000 + shiftMs / 1000;
  return `${seconds}.${time.slice(20, 29)}`;
}
