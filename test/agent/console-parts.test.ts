import { appendFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { pino } from 'pino';
import { expect, onTestFinished, test } from 'vitest';
import type { ConsoleBatch } from '../../agent/servers/console-batch.js';
import { createConsoleQueue } from '../../agent/servers/console-queue.js';
import { judgeExit } from '../../agent/servers/crash-policy.js';
import { type JournalEntry, openJournal } from '../../agent/servers/journal.js';
import { createLineSplitter, toText } from '../../agent/servers/line-splitter.js';
import { toLaunch } from '../../agent/servers/specification.js';
import { specify } from './harness.js';

const log = pino({ level: 'silent' });

function split(chunks: Buffer[]): string[] {
  const lines: string[] = [];
  const splitter = createLineSplitter();
  for (const chunk of chunks) splitter.push(chunk, (line) => lines.push(toText(line)));
  splitter.flush((line) => lines.push(toText(line)));
  return lines;
}

test.each([
  ['a\nb\n', ['a', 'b']],
  ['a\r\n\r\nb\r\n', ['a', '', 'b']],
  ['\n\n', ['', '']],
  ['a\rb\n', ['a\rb']],
  ['end', ['end']],
])('%j is split into %j', (text, lines) => {
  expect(split([Buffer.from(text)])).toEqual(lines);
});

test('where the chunks are cut makes no difference to the lines', () => {
  fc.assert(
    fc.property(
      fc.array(fc.string({ unit: 'grapheme' }), { maxLength: 20 }),
      fc.array(fc.nat(200), { maxLength: 10 }),
      (lines, cuts) => {
        const bytes = Buffer.from(lines.map((line) => `${line}\n`).join(''));
        const ends = [...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort((a, b) => a - b);
        const chunks = ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end));
        expect(split(chunks)).toEqual(split([bytes]));
      },
    ),
  );
});

test('a character that is unfinished when its line is flushed comes whole with the rest', () => {
  const euro = Buffer.from('€');
  const lines: string[] = [];
  const splitter = createLineSplitter();
  splitter.push(Buffer.concat([Buffer.from('price '), euro.subarray(0, 2)]), () => {});
  splitter.flush((line) => lines.push(toText(line)));
  splitter.push(Buffer.concat([euro.subarray(2), Buffer.from('5\n')]), (line) => lines.push(toText(line)));
  expect(lines).toEqual(['price ', '€5']);
});

test('a splitter goes on from the tail of an earlier one', () => {
  const first = createLineSplitter();
  first.push(Buffer.from('done\nhal'), () => {});
  const lines: string[] = [];
  createLineSplitter(first.tail()).push(Buffer.from('f\n'), (line) => lines.push(toText(line)));
  expect(lines).toEqual(['half']);
});

function entry(seq: number, data: string): JournalEntry {
  const batch: ConsoleBatch = {
    kind: 'lines',
    stream: 'stdout',
    firstSeq: seq,
    lastSeq: seq,
    data,
    timestamp: new Date(0).toISOString(),
  };
  return { seq, cursor: `run:${seq}`, tails: null, batches: [batch] };
}

function journalPath(): string {
  const directory = mkdtempSync(join(tmpdir(), 'catalyst-journal-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
  return join(directory, 'journal.log');
}

test('a journal whose last entry was torn gives what was before it, and can be written on', () => {
  const path = journalPath();
  const first = openJournal(path, log);
  for (const seq of [1, 2, 3]) first.journal.append(entry(seq, `line ${seq}\n`));
  first.journal.close();
  truncateSync(path, readFileSync(path).length - 10);

  const second = openJournal(path, log);
  expect(second.restored).toMatchObject({ seq: 2, cursor: 'run:2' });
  second.journal.append(entry(3, 'again\n'));
  second.journal.close();
  const third = openJournal(path, log);
  expect(third.restored?.batches.map((batch) => batch.kind === 'lines' && batch.data)).toEqual([
    'line 1\n',
    'line 2\n',
    'again\n',
  ]);
  third.journal.close();
});

test('a journal of garbage is an empty one', () => {
  const path = journalPath();
  appendFileSync(path, 'garbage\n\0\0\0');
  const { journal, restored } = openJournal(path, log);
  expect(restored).toBeNull();
  journal.append(entry(1, 'x\n'));
  journal.close();
  expect(openJournal(path, log).restored).toMatchObject({ seq: 1 });
});

test('a journal is compacted when it has grown far beyond what is needed', () => {
  const path = journalPath();
  const { journal } = openJournal(path, log);
  for (let seq = 1; seq <= 300; seq++) {
    journal.append(entry(seq, 'x'.repeat(10_000)));
    journal.compactIfGrown(0, () => entry(seq, 'newest\n'));
  }
  journal.close();
  expect(readFileSync(path).length).toBeLessThan(1_100_000);
  expect(openJournal(path, log).restored).toMatchObject({ seq: 300 });
});

function batch(seq: number, sizeBytes = 1000): ConsoleBatch {
  const timestamp = new Date(0).toISOString();
  return {
    kind: 'lines',
    stream: 'stdout',
    firstSeq: seq,
    lastSeq: seq,
    data: `${'x'.repeat(sizeBytes)}\n`,
    timestamp,
  };
}

test('a full queue drops the oldest that was not sent, and says which', () => {
  const queue = createConsoleQueue(() => 12_000);
  for (let seq = 1; seq <= 5; seq++) queue.push(batch(seq));
  expect([queue.takeNext(), queue.takeNext()].map((taken) => taken?.lastSeq)).toEqual([1, 2]);
  for (let seq = 6; seq <= 20; seq++) queue.push(batch(seq));
  const numbers = queue.batches().map(({ kind, firstSeq, lastSeq }) => `${kind} ${firstSeq}-${lastSeq}`);
  expect(numbers.slice(0, 2)).toEqual(['lines 1-1', 'lines 2-2']);
  expect(numbers[2]).toMatch(/^gap 3-1\d$/);
  expect(numbers.at(-1)).toBe('lines 20-20');
  expect(queue.sizeBytes).toBeLessThanOrEqual(12_000);
});

test('an acknowledgement of what was never sent forgets nothing', () => {
  const queue = createConsoleQueue(() => 100_000);
  queue.push(batch(1));
  queue.push(batch(2));
  queue.takeNext();
  queue.acknowledge(99);
  expect(queue.batches().map(({ firstSeq }) => firstSeq)).toEqual([2]);
});

test('after a reconnect a batch that the panel has half of is sent without that half', () => {
  const queue = createConsoleQueue(() => 100_000);
  const timestamp = new Date(0).toISOString();
  queue.push({ kind: 'lines', stream: 'stdout', firstSeq: 1, lastSeq: 3, data: 'a\nb\nc\n', timestamp });
  queue.rewind(2);
  expect(queue.takeNext()).toMatchObject({ firstSeq: 3, lastSeq: 3, data: 'c\n' });
});

const timings = { crashBackoffMinMs: 2000, crashBackoffMaxMs: 300_000, healthyAfterMs: 600_000 };

test.each([
  ['on-failure', 0, 0, 'ended', null],
  ['never', 0, 0, 'ended', null],
  ['always', 0, 0, 'crashed', 2000],
  ['on-failure', 1, 0, 'crashed', 2000],
  ['on-failure', 1, 3, 'crashed', 16_000],
  ['on-failure', 1, 19, 'crashed', 300_000],
  ['on-failure', 1, 20, 'crashed', null],
  ['never', 1, 0, 'crashed', null],
] as const)(
  'policy %s, code %i after %i crashes: %s, again in %s ms',
  (restartPolicy, exitCode, crashCount, kind, restartInMs) => {
    const launch = toLaunch(specify('', { restartPolicy, maxCrashCount: 20 }));
    const exit = { exitCode, oomKilled: false, finishedAt: new Date() };
    const verdict = judgeExit(exit, { launch, crashCount, runningAt: null }, timings);
    expect(verdict.kind).toBe(kind);
    expect(verdict.kind === 'crashed' ? verdict.restartInMs : null).toBe(restartInMs);
  },
);

test('a crash after ten healthy minutes is the first again', () => {
  const launch = toLaunch(specify('', { restartPolicy: 'on-failure', maxCrashCount: 2 }));
  const finishedAt = new Date();
  const runningAt = new Date(finishedAt.getTime() - 600_000).toISOString();
  const verdict = judgeExit(
    { exitCode: 1, oomKilled: false, finishedAt },
    { launch, crashCount: 2, runningAt },
    timings,
  );
  expect(verdict).toMatchObject({ crashCount: 1, restartInMs: 2000 });
});
