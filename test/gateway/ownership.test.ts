import { afterEach, expect, test, vi } from 'vitest';
import { createOwnership } from '../../src/gateway/ownership.js';

afterEach(() => {
  vi.useRealTimers();
});

function ownershipOf(serverIds: string[], placedLater: string[] = []) {
  const lookups: string[] = [];
  const ownership = createOwnership({
    serverIds,
    isPlacedHere: async (serverId) => {
      lookups.push(serverId);
      return placedLater.includes(serverId);
    },
  });
  return { ownership, lookups };
}

test('what was there at the handshake is known without asking', () => {
  const { ownership, lookups } = ownershipOf(['a']);
  expect(ownership.owns('a')).toBe(true);
  expect(lookups).toEqual([]);
});

test('what came later is asked for once, whatever the answer', async () => {
  const { ownership, lookups } = ownershipOf([], ['late']);
  for (let count = 0; count < 5; count += 1) {
    expect(await ownership.owns('late')).toBe(true);
    expect(await ownership.owns('foreign')).toBe(false);
  }
  expect(lookups).toEqual(['late', 'foreign']);
});

test('a deleted server is asked for again', async () => {
  const { ownership, lookups } = ownershipOf(['a']);
  ownership.forget('a');
  expect(await ownership.owns('a')).toBe(false);
  expect(lookups).toEqual(['a']);
});

test('an agent that invents ids does not reach the database with most of them', async () => {
  const { ownership, lookups } = ownershipOf([]);
  for (let count = 0; count < 10_000; count += 1)
    expect(await ownership.owns(`invented-${count}`)).toBe(false);
  expect(lookups.length).toBeGreaterThan(0);
  expect(lookups.length).toBeLessThan(200);
});

test('what cannot be an id is not asked for', async () => {
  const { ownership, lookups } = ownershipOf([]);
  for (const id of ['a\0b', '../etc', 'a b', 'x'.repeat(65)]) expect(await ownership.owns(id)).toBe(false);
  expect(lookups).toEqual([]);
});

test('what another panel gave to another node is known as such within a minute, without anybody waiting', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const { ownership, lookups } = ownershipOf(['stays', 'moved'], ['stays']);
  vi.advanceTimersByTime(29_000);
  expect([ownership.owns('stays'), ownership.owns('moved')]).toEqual([true, true]);
  expect(lookups).toEqual([]);
  vi.advanceTimersByTime(2000);
  expect([ownership.owns('stays'), ownership.owns('moved')]).toEqual([true, true]);
  await Promise.resolve();
  expect([ownership.owns('stays'), await ownership.owns('moved')]).toEqual([true, false]);
  expect(lookups).toEqual(['stays', 'moved', 'moved']);
});

test('while the database cannot be asked, what was known stays known', async () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const ownership = createOwnership({
    serverIds: ['a'],
    isPlacedHere: () => Promise.reject(new Error('away')),
  });
  vi.advanceTimersByTime(31_000);
  expect(ownership.owns('a')).toBe(true);
  await Promise.resolve();
  expect(ownership.owns('a')).toBe(true);
});

test('of ten thousand servers that are due at once no more than a few are asked for', () => {
  vi.useFakeTimers({ toFake: ['Date'] });
  const ids = Array.from({ length: 10_000 }, (_, index) => `server-${index}`);
  const { ownership, lookups } = ownershipOf(ids, ids);
  vi.advanceTimersByTime(31_000);
  for (const id of ids) expect(ownership.owns(id)).toBe(true);
  expect(lookups.length).toBeLessThan(200);
});
