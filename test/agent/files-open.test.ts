import { rmSync } from 'node:fs';
import { expect, test } from 'vitest';
import type { FileRequest } from '../../agent/files/contract.js';
import { openAtClose } from './at-close-harness.js';

const MAKE: Partial<FileRequest<'open'>> = { write: true, create: true };

test.each<[string, Partial<FileRequest<'open'>>]>([
  ['to be written in place', MAKE],
  ['to be written from the beginning', { ...MAKE, truncate: true }],
  ['to be written on', { append: true, create: true }],
  ['to be under its name at its close', { ...MAKE, truncate: true, atClose: true }],
])('who opens a file %s is told whether it is new', async (_how, how) => {
  const { open, close } = openAtClose();
  expect(await open('d/file', how)).toMatchObject({ isNew: false });
  const { handle, isNew } = await open('d/new', how);
  expect(isNew).toBe(true);
  expect(await open('d/new', how)).toMatchObject({ isNew: false });
  await close(handle);
  expect(await open('d/new', how)).toMatchObject({ isNew: false });
  expect(await open('d/new', { read: true })).toMatchObject({ isNew: false });
});

test('a file that only one may make is new to that one', async () => {
  const { open, at, close } = openAtClose();
  for (const atClose of [false, true]) {
    const how = { ...MAKE, exclusive: true, atClose };
    const { handle, isNew } = await open('d/new', how);
    expect(isNew).toBe(true);
    await expect(open('d/new', how)).rejects.toMatchObject({ code: 'file.exists' });
    await close(handle);
    rmSync(at('d/new'));
  }
});
