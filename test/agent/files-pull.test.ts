import { randomBytes } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { expect, test } from 'vitest';
import { FileWorks } from '../../src/protocol/file-works.js';
import { openPulls, serve } from './pull-harness.js';

const failed = { code: 'url.failed' };
const content = randomBytes(3 * 1024 * 1024);

test('a file is fetched into its place, with its progress, and asked for as it is', async () => {
  const asked: IncomingHttpHeaders[] = [];
  const base = await serve((request, response) => {
    asked.push(request.headers);
    response.writeHead(200, { 'content-length': content.length }).end(content);
  });
  const { pull, read, reports, names } = openPulls();
  const done = await pull(`${base}/world.zip?x=1#part`, { path: 'worlds//new/world.zip' });
  expect(FileWorks.pull.output.parse(done)).toEqual(done);
  expect(done).toMatchObject({
    path: '/worlds/new/world.zip',
    entry: { name: 'world.zip', kind: 'file', sizeBytes: content.length, mode: 0o644 },
  });
  expect((await read('worlds/new/world.zip')).equals(content)).toBe(true);
  expect(names()).toEqual(['d', 'd/file', 'worlds', 'worlds/new', 'worlds/new/world.zip']);
  expect(reports[0]).toEqual({ doneBytes: 0, totalBytes: content.length, doneEntries: 0 });
  expect(reports.at(-1)).toEqual({ doneBytes: content.length, totalBytes: content.length, doneEntries: 0 });
  expect(asked).toEqual([
    {
      host: new URL(base).host,
      accept: '*/*',
      'accept-encoding': 'identity',
      'user-agent': expect.stringContaining('Catalyst'),
      connection: 'close',
    },
  ]);
});

test('a file in the way is asked about before anything is fetched, and replaced only when it may be', async () => {
  let asked = 0;
  const base = await serve((_request, response) => {
    asked += 1;
    response.end('new');
  });
  const { pull, read } = openPulls();
  await expect(pull(base, { path: 'd/file' })).rejects.toMatchObject({ code: 'file.exists' });
  await expect(pull(base, { path: 'd', replace: true })).rejects.toMatchObject({ code: 'file.is_directory' });
  await expect(pull(base, { path: '../x' })).rejects.toMatchObject({ code: 'file.outside' });
  expect([asked, String(await read('d/file'))]).toEqual([0, 'inside']);
  await pull(base, { path: 'd/file', replace: true });
  expect(String(await read('d/file'))).toBe('new');
  await expect(pull(`${base}/file`, { path: 'd/' })).rejects.toMatchObject({ code: 'file.exists' });
});

test.each<[string, string | undefined, string]>([
  ['/plugin.jar', undefined, 'plugin.jar'],
  ['/a/b%20c%2Bd.jar?v=1', undefined, 'b c+d.jar'],
  ['/x', 'attachment; filename="world.zip"', 'world.zip'],
  ['/x', 'attachment; filename=world.zip; size=3', 'world.zip'],
  ['/x', "attachment; filename=no.zip; filename*=UTF-8''w%C3%A4lt.zip", 'wält.zip'],
  ['/x', 'attachment; filename="a \\"quoted\\" name.zip"', 'a "quoted" name.zip'],
  ['/x', 'attachment; filename="../../etc/passwd"', 'passwd'],
  ['/x', 'attachment; filename="..\\\\..\\\\evil.bat"', 'evil.bat'],
  ['/x', "attachment; filename*=UTF-8''..%2F..%2Fevil%00.sh", 'evil.sh'],
  ['/x', 'attachment; filename=".catalyst-upload-1"', 'catalyst-upload-1'],
  ['/fallback', 'attachment; filename=".."', 'fallback'],
  ['/fallback', 'inline', 'fallback'],
  ['/..%2f..%2fetc%2fpasswd', undefined, 'passwd'],
  ['/%ff%fe', undefined, '%ff%fe'],
])('from %s with %s into a directory: the file is called %s', async (path, disposition, name) => {
  const base = await serve((_request, response) => {
    if (disposition !== undefined) response.setHeader('content-disposition', disposition);
    response.end('fetched');
  });
  const { pull, read, names } = openPulls();
  expect(await pull(`${base}${path}`, { path: 'd/' })).toMatchObject({ path: `/d/${name}`, entry: { name } });
  expect([String(await read(`d/${name}`)), names().length]).toEqual(['fetched', 3]);
});

test('what has no name is not put into a directory, nor what has too long a one', async () => {
  const base = await serve((_request, response) => response.end('fetched'));
  const { pull, names } = openPulls();
  await expect(pull(base, { path: '/' })).rejects.toMatchObject(failed);
  const long = { code: 'file.name_invalid' };
  await expect(pull(`${base}/${'n'.repeat(256)}`, { path: '' })).rejects.toMatchObject(long);
  expect(names()).toEqual(['d', 'd/file']);
});

test('redirects are followed, five of them, and the last place names the file', async () => {
  const statuses = [301, 302, 303, 307, 308];
  const base = await serve((request, response) => {
    const left = Number(request.url?.slice(1));
    if (!(left > 0)) return response.end('fetched');
    const location = left === 1 ? 'last.jar' : `/${left - 1}`;
    response.writeHead(statuses[left % 5] ?? 0, { location }).end('moved');
  });
  const { pull, read } = openPulls();
  expect(await pull(`${base}/5`, { path: '/' })).toMatchObject({ path: '/last.jar' });
  expect(String(await read('last.jar'))).toBe('fetched');
  await expect(pull(`${base}/6`)).rejects.toMatchObject({
    code: 'url.refused',
    message: expect.stringContaining('5'),
  });
});

test.each([204, 206, 304, 400, 401, 404, 500, 503])('status %i: nothing is kept', async (status) => {
  const base = await serve((_request, response) => response.writeHead(status).end());
  const { pull, names } = openPulls();
  const told = { ...failed, message: expect.stringContaining(`${status}`) };
  await expect(pull(base)).rejects.toMatchObject(told);
  expect(names()).toEqual(['d', 'd/file']);
});
