import { expect, test } from 'vitest';
import { createFrameReader, type LogEntry } from '../../agent/runtime/docker/frames.js';
import { createLogPosition, type LogPosition } from '../../agent/runtime/docker/position.js';

const container = 'a'.repeat(64);
const timeOf = (second: number) => `2026-01-01T00:00:${second.toFixed(9).padStart(12, '0')}Z`;
const entry = (second: number, text = `at ${second}\n`, stream: LogEntry['stream'] = 'stdout'): LogEntry => ({
  stream,
  time: timeOf(second),
  data: Buffer.from(text),
});
const taken = (position: LogPosition, entries: LogEntry[]) =>
  entries.filter((one) => position.take(one)).map(({ data }) => data.toString().trim());

test('a log read again from a cursor goes on with the very next entry, also among entries of one time', () => {
  const log = [entry(1), entry(2, 'a\n'), entry(2, 'b\n'), entry(2, 'c\n'), entry(3)];
  const first = createLogPosition(container, null);
  first.rewind();
  expect(taken(first, log.slice(0, 3))).toEqual(['at 1', 'a', 'b']);
  const next = createLogPosition(container, first.cursor());
  next.rewind();
  expect(taken(next, log)).toEqual(['c', 'at 3']);
  expect(next.takeLoss()).toBe(false);
});

test('the engine is asked for a little more than what follows the cursor', () => {
  const position = createLogPosition(container, `${'a'.repeat(12)} stdout=${timeOf(5.123456789)}#1`);
  expect(position.since()).toBe(`${Date.parse(timeOf(3)) / 1000}.123456789`);
  expect(createLogPosition(container, null).since()).toBeNull();
});

test('streams are told apart: one may be stamped a little earlier than what came before from the other', () => {
  const log = [entry(1.002, 'out\n'), entry(1.001, 'err\n', 'stderr'), entry(1.003, 'more\n', 'stderr')];
  const first = createLogPosition(container, null);
  expect(taken(first, log.slice(0, 1))).toEqual(['out']);
  const next = createLogPosition(container, first.cursor());
  next.rewind();
  expect(taken(next, log)).toEqual(['err', 'more']);
  expect(next.takeLoss()).toBe(false);
});

test('an entry that is no longer there is announced once', () => {
  const position = createLogPosition(container, `${'a'.repeat(12)} stdout=${timeOf(5)}#1`);
  position.rewind();
  expect(taken(position, [entry(6), entry(7)])).toEqual(['at 6', 'at 7']);
  expect(position.takeLoss()).toBe(true);
  expect(position.takeLoss()).toBe(false);
});

test('entries that the engine sends a second time while it is followed are passed over', () => {
  const position = createLogPosition(container, null);
  const file = [entry(1), entry(2), entry(3)];
  expect(taken(position, [...file, ...file, entry(4), entry(4)])).toEqual(['at 1', 'at 2', 'at 3', 'at 4']);
  expect(position.takeLoss()).toBe(false);
});

test('pieces of one long line have one time and are all taken', () => {
  const position = createLogPosition(container, null);
  expect(taken(position, [entry(1, 'xx'), entry(1, 'xx'), entry(1, 'x\n'), entry(2)])).toHaveLength(4);
});

test('what is written after the clock was set back is taken', () => {
  const position = createLogPosition(container, null);
  expect(taken(position, [entry(30), entry(10), entry(11)])).toEqual(['at 30', 'at 10', 'at 11']);
});

test.each([
  ['of another container', `${'b'.repeat(12)} stdout=${timeOf(5)}#1`],
  ['of another kind', '4711'],
  ['that is empty', ''],
])('a cursor %s begins at the first entry', (_, cursor) => {
  const position = createLogPosition(container, cursor);
  position.rewind();
  expect(position.since()).toBeNull();
  expect(taken(position, [entry(1)])).toEqual(['at 1']);
});

test('frames are read wherever the connection cut them', () => {
  const frame = (stream: number, text: string) => {
    const body = Buffer.from(`${timeOf(1)} ${text}`);
    const header = Buffer.from([stream, 0, 0, 0, 0, 0, 0, 0]);
    header.writeUInt32BE(body.length, 4);
    return Buffer.concat([header, body]);
  };
  const bytes = Buffer.concat([frame(1, 'größer\n'), frame(2, ''), frame(1, 'x'.repeat(40_000))]);
  for (const size of [1, 7, 8, 9, 4096, bytes.length]) {
    const reader = createFrameReader();
    const entries: LogEntry[] = [];
    for (let at = 0; at < bytes.length; at += size)
      entries.push(...reader.read(bytes.subarray(at, at + size)));
    expect(entries.map(({ stream, data }) => [stream, data.toString()])).toEqual([
      ['stdout', 'größer\n'],
      ['stderr', ''],
      ['stdout', 'x'.repeat(40_000)],
    ]);
  }
});

test.each([
  ['an endless frame', Buffer.from([1, 0, 0, 0, 0xff, 0, 0, 0])],
  ['a frame without a time', Buffer.from([1, 0, 0, 0, 0, 0, 0, 3, 65, 66, 67])],
])('%s is refused', (_, bytes) => {
  expect(() => createFrameReader().read(bytes)).toThrow('the engine sent a log entry');
});
