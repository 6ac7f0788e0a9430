import { expect, test } from 'vitest';
import { createTurns } from '../../agent/data-plane/turns.js';

/** Who has entered, in order; `leave` gives the place of the first who still has one back. */
function createQueue(limits: { atOnceMax: number; waitingMax: number }) {
  const turns = createTurns(limits);
  const entered: string[] = [];
  const leaving = new Map<string, () => void>();
  return {
    entered,
    async enter(name: string, signal = new AbortController().signal) {
      // What is before the number is the server.
      const leave = await turns.take(name.slice(0, 1), signal);
      entered.push(name);
      leaving.set(name, leave);
    },
    leave: (name: string) => leaving.get(name)?.(),
  };
}

/** Lets everything that is ready happen. */
const settle = () => new Promise((resolve) => setImmediate(resolve));

test('so many enter at once, the others in turn', async () => {
  const queue = createQueue({ atOnceMax: 2, waitingMax: 10 });
  for (const name of ['a1', 'b1', 'c1', 'd1']) void queue.enter(name);
  await settle();
  expect(queue.entered).toEqual(['a1', 'b1']);
  queue.leave('b1');
  queue.leave('b1');
  await settle();
  expect(queue.entered).toEqual(['a1', 'b1', 'c1']);
  queue.leave('a1');
  await settle();
  expect(queue.entered).toEqual(['a1', 'b1', 'c1', 'd1']);
});

test('a server that has something under way lets others go first', async () => {
  const queue = createQueue({ atOnceMax: 2, waitingMax: 10 });
  for (const name of ['a1', 'a2', 'a3', 'b1']) void queue.enter(name);
  await settle();
  expect(queue.entered).toEqual(['a1', 'a2']);
  queue.leave('a1');
  await settle();
  expect(queue.entered).toEqual(['a1', 'a2', 'b1']);
  queue.leave('b1');
  await settle();
  expect(queue.entered).toEqual(['a1', 'a2', 'b1', 'a3']);
});

test('who gives up leaves the queue, and who finds it full is told so', async () => {
  const queue = createQueue({ atOnceMax: 1, waitingMax: 1 });
  await queue.enter('a1');
  const giveUp = new AbortController();
  const waiting = queue.enter('b1', giveUp.signal);
  await expect(queue.enter('c1')).rejects.toMatchObject({ code: 'file.busy' });
  giveUp.abort(new Error('enough'));
  await expect(waiting).rejects.toThrow('enough');
  const next = queue.enter('d1');
  queue.leave('a1');
  await next;
  expect(queue.entered).toEqual(['a1', 'd1']);
  await expect(queue.enter('e1', AbortSignal.abort(new Error('over')))).rejects.toThrow('over');
});
