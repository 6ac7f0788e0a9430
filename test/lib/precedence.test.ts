import { beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import { createPrecedence, type Precedence } from '../../src/lib/precedence.js';

let precedence: Precedence;

beforeEach(() => {
  vi.useFakeTimers();
  onTestFinished(() => void vi.useRealTimers());
  precedence = createPrecedence();
});

/** Moves a piece as soon as it may, all the time. */
function moveFiles(): { pieces(): number } {
  let pieces = 0;
  const timer = setInterval(() => {
    if (!isWaiting) move();
  }, 1);
  onTestFinished(() => clearInterval(timer));
  let isWaiting = false;
  function move(): void {
    isWaiting = precedence.mustWait(() => {
      isWaiting = false;
    });
    if (!isWaiting) pieces += 1;
  }
  return { pieces: () => pieces };
}

test('nobody waits while nothing is asked', () => {
  const files = moveFiles();
  vi.advanceTimersByTime(50);
  expect(files.pieces()).toBe(50);
});

test('files wait until the last of several commands is answered', () => {
  const files = moveFiles();
  const first = precedence.goFirst('command');
  const second = precedence.goFirst('command');
  vi.advanceTimersByTime(10);
  first();
  first();
  vi.advanceTimersByTime(10);
  expect(files.pieces()).toBe(0);
  second();
  vi.advanceTimersByTime(10);
  expect(files.pieces()).toBe(10);
});

test('a command that takes long does not hold files for long', () => {
  const files = moveFiles();
  precedence.goFirst('command');
  vi.advanceTimersByTime(1000);
  expect(files.pieces()).toBeGreaterThan(850);
});

test('what is broken off, and never said to be over, holds nothing when others are', () => {
  precedence.goFirst('question');
  vi.advanceTimersByTime(1000);
  precedence.goFirst('command')();
  expect(precedence.mustWait(() => {})).toBe(false);
});

test.each(['command', 'question'] as const)(
  'files move half of the time, however often a %s comes',
  (what) => {
    const files = moveFiles();
    for (let asked = 0; asked < 500; asked += 1) {
      const done = precedence.goFirst(what);
      vi.advanceTimersByTime(4);
      done();
    }
    expect(files.pieces()).toBeGreaterThan(900);
  },
);

test('a command finds files waiting, however many questions came before', () => {
  const files = moveFiles();
  for (let asked = 0; asked < 500; asked += 1) precedence.goFirst('question');
  vi.advanceTimersByTime(500);
  for (let asked = 0; asked < 100; asked += 1) {
    precedence.goFirst('question');
    vi.advanceTimersByTime(7);
  }
  const before = files.pieces();
  precedence.goFirst('command');
  vi.advanceTimersByTime(40);
  expect(files.pieces()).toBe(before);
});
