import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { FORMATS } from './archives-harness.js';
import { openAtClose } from './at-close-harness.js';
import { UUID } from './files-harness.js';

/** Archives where files are being written that come to their names when they are closed. */
function openBoth() {
  const files = openAtClose();
  const { service, call } = files;
  const working = { ...call, report() {} };
  return {
    ...files,
    compress: (to: string, { replace = false, format = FORMATS[0] ?? 'tar' } = {}) =>
      service.work(UUID, 'compress', { paths: ['d'], to, format, replace }, working),
    extract: (path: string, to: string) => service.work(UUID, 'extract', { path, to }, working),
  };
}

test.each(FORMATS)(
  'the name of a file that is being written is not free for an archive (%s)',
  async (format) => {
    const { begin, put, close, compress, read, onDisk, names, operate } = openBoth();
    const handle = await begin('archive');
    await put(handle, 'being written');
    await expect(compress('archive', { format })).rejects.toMatchObject({ code: 'file.exists' });
    expect(String(await read('archive'))).toBe('being written');
    const { entry } = await compress('archive', { format, replace: true });
    expect(await operate('stat', { path: 'archive', followLinks: false })).toEqual(entry);
    expect((await read('archive')).length).toBe(entry.sizeBytes);
    expect((await names()).sort()).toEqual(['archive', 'd']);
    await close(handle);
    expect(onDisk().archive).toBe('being written');
  },
);

test('what is unpacked is met under its names, not what was being written there before', async () => {
  const { begin, put, close, compress, extract, read, operate, onDisk } = openBoth();
  await compress('archive');
  const handle = await begin('d/file');
  await put(handle, 'being written');
  expect(String(await read('d/file'))).toBe('being written');
  await extract('archive', '/');
  expect(String(await read('d/file'))).toBe('inside');
  const { entries } = await operate('list', { path: 'd', limit: 10 });
  expect(entries).toMatchObject([{ name: 'file', sizeBytes: 6 }]);
  await close(handle);
  expect(onDisk()['d/file']).toBe('being written');
});

test('a directory is not unpacked where a file is being written', async () => {
  const { begin, close, compress, extract, at, onDisk } = openBoth();
  writeFileSync(at('d/other'), '');
  await compress('archive');
  rmSync(at('d'), { recursive: true });
  const handle = await begin('d');
  const before = onDisk();
  await expect(extract('archive', '/')).rejects.toMatchObject({
    code: 'file.exists',
    message: expect.stringContaining('"/d" is a directory in the archive'),
  });
  expect(onDisk()).toEqual(before);
  mkdirSync(at('elsewhere'));
  await extract('archive', 'elsewhere');
  await close(handle);
  expect(onDisk()).toMatchObject({ d: '', 'elsewhere/d/file': 'inside' });
});
