import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { openAtClose } from './at-close-harness.js';
import { openBelow, UUID } from './files-harness.js';

/** What no other file here has. */
const MODE = 0o666;

/** A disk that does not tell anything about such a file. */
vi.mock('node:fs', async (importOriginal) => {
  const fs = await importOriginal<typeof import('node:fs')>();
  const fstatSync = (...input: Parameters<typeof fs.fstatSync>) => {
    const status = fs.fstatSync(...input);
    if (status?.isFile() && (Number(status.mode) & 0o777) === MODE)
      throw Object.assign(new Error('EIO: i/o error, fstat'), { code: 'EIO' });
    return status;
  };
  return { ...fs, fstatSync };
});

test.each([false, true])(
  'a file whose status cannot be read does not stay open (at close: %s)',
  async (atClose) => {
    const { open, names, onDisk, places, service } = openAtClose();
    const before = onDisk();
    const how = { write: true, create: true, truncate: true, mode: MODE, atClose };
    await expect(open('new', how)).rejects.toThrow('EIO');
    expect(openBelow(places.server)).toEqual([]);
    if (!atClose) return;
    expect(await names()).not.toContain('new');
    expect(onDisk()).toEqual(before);
    await service.close();
    expect(readdirSync(join(places.root, 'state'))).not.toContain(UUID);
  },
);
