import { expect, test } from 'vitest';
import { createOwnership } from '../../src/gateway/ownership.js';

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
