import { describe, expect, test } from 'vitest';
import { attachment } from '../../src/modules/files/content-disposition.js';
import { normaliseChangedPath, normalisePath, parentOf, pathIn } from '../../src/modules/files/paths.js';
import { parseRange, represent } from '../../src/modules/files/representation.js';
import { fileView } from '../../src/modules/files/views.js';

describe('paths', () => {
  test.each([
    ['', '/'],
    ['/', '/'],
    ['.', '/'],
    ['a', '/a'],
    ['//a///b/', '/a/b'],
    ['/a/./b/../c', '/a/c'],
    ['a/..', '/'],
    ['/...', '/...'],
    ['/a\\..\\b', '/a\\..\\b'],
    ['/%2e%2e/a', '/%2e%2e/a'],
  ])('%j is %j', (path, normal) => {
    expect(normalisePath(path)).toBe(normal);
  });

  test.each(['..', '/..', '/../a', 'a/../..', '/a/../../a'])('%j leads out', (path) => {
    expect(() => normalisePath(path)).toThrow(expect.objectContaining({ code: 'file.outside' }));
  });

  test.each(['', '/', '.', '//', '/a/..', './.'])('%j cannot be changed', (path) => {
    expect(() => normaliseChangedPath(path)).toThrow(expect.objectContaining({ code: 'request.invalid' }));
  });

  test.each(['', '.', '..', 'a/b', '/a', 'a\0b'])('%j is not a name', (name) => {
    expect(() => pathIn('/', name)).toThrow(expect.objectContaining({ code: 'file.name_invalid' }));
  });

  test('directories and names make paths, and come apart again', () => {
    expect([pathIn('/', 'a'), pathIn('/a/b', 'c')]).toEqual(['/a', '/a/b/c']);
    expect([parentOf('/a'), parentOf('/a/b/c')]).toEqual(['/', '/a/b']);
  });
});

test.each([
  [undefined, null],
  ['bytes=0-0', { offset: 0, length: 1 }],
  ['bytes=0-', { offset: 0, length: 10 }],
  ['BYTES=2-4', { offset: 2, length: 3 }],
  ['bytes= 9-99 ', { offset: 9, length: 1 }],
  ['bytes=0-99999999999999999999999999', { offset: 0, length: 10 }],
  ['bytes=-3', { offset: 7, length: 3 }],
  ['bytes=-100', { offset: 0, length: 10 }],
  ['bytes=-0', 'unsatisfiable'],
  ['bytes=10-', 'unsatisfiable'],
  ['bytes=99999999999999999999999999-', 'unsatisfiable'],
  ['bytes=0-1,4-5', 'unsatisfiable'],
  ['bytes=4-2', null],
  ['bytes=-', null],
  ['bytes=a-b', null],
  ['bytes=', null],
  ['lines=1-2', null],
  ['bytes=1-2-3', null],
])('of ten bytes %j is %j', (header, part) => {
  expect(parseRange(header, 10)).toEqual(part);
});

test('of an empty file no range can be had', () => {
  expect(parseRange('bytes=0-', 0)).toBe('unsatisfiable');
  expect(parseRange('bytes=-5', 0)).toBe('unsatisfiable');
});

describe('conditions', () => {
  const entry = { sizeBytes: 10, modifiedAtMs: Date.UTC(2026, 0, 25, 2, 29, 17, 414) };
  const etag = String(represent(entry, {}).headers.etag);
  const modified = 'Sun, 25 Jan 2026 02:29:17 GMT';
  const status = (headers: Record<string, string>) => represent(entry, headers).status;

  test('a file that the client has is not sent again', () => {
    expect(status({ 'if-none-match': etag })).toBe(304);
    expect(status({ 'if-none-match': `"other", W/${etag}` })).toBe(304);
    expect(status({ 'if-none-match': '*' })).toBe(304);
    expect(status({ 'if-modified-since': modified })).toBe(304);
    expect(status({ 'if-none-match': '"other"', 'if-modified-since': modified })).toBe(200);
    expect(status({ 'if-modified-since': 'Sun, 25 Jan 2026 02:29:16 GMT' })).toBe(200);
    expect(status({ 'if-modified-since': 'yesterday' })).toBe(200);
  });

  test('a range of a file that has changed is the whole file', () => {
    const range = 'bytes=2-4';
    expect(status({ range })).toBe(206);
    expect(status({ range, 'if-range': etag })).toBe(206);
    expect(status({ range, 'if-range': modified })).toBe(206);
    expect(status({ range, 'if-range': '"other"' })).toBe(200);
    expect(status({ range, 'if-range': `W/${etag}` })).toBe(200);
  });

  test('another size or time is another ETag', () => {
    expect(represent({ ...entry, sizeBytes: 11 }, {}).headers.etag).not.toBe(etag);
    expect(represent({ ...entry, modifiedAtMs: entry.modifiedAtMs + 1 }, {}).headers.etag).not.toBe(etag);
  });
});

test.each([
  ['server.properties', 'attachment; filename="server.properties"'],
  ['a b.txt', 'attachment; filename="a b.txt"'],
  ['Größe.txt', `attachment; filename="Gr__e.txt"; filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt`],
  ['say "hi".txt', `attachment; filename="say _hi_.txt"; filename*=UTF-8''say%20%22hi%22.txt`],
  [
    'a\r\nSet-Cookie: b',
    `attachment; filename="a__Set-Cookie_ b"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b`,
  ],
  ['100%25.txt', `attachment; filename="100_25.txt"; filename*=UTF-8''100%2525.txt`],
  ["it's*", `attachment; filename="it_s_"; filename*=UTF-8''it%27s%2A`],
  ['a\\b', `attachment; filename="a_b"; filename*=UTF-8''a%5Cb`],
  ['half \ud800', `attachment; filename="half _"; filename*=UTF-8''half%20%EF%BF%BD`],
])('%j is saved under its name', (name, header) => {
  expect(attachment(name)).toBe(header);
});

test.each([
  [1_600_000_000_123.9, '2020-09-13T12:26:40.123Z'],
  [9_223_372_036_854_000, '9999-12-31T23:59:59.000Z'],
  [-9_223_372_036_854_000, '0001-01-01T00:00:00.000Z'],
])('a file of the time %d can be shown', (modifiedAtMs, modified) => {
  const entry = { name: 'a', kind: 'file', sizeBytes: 1, mode: 0o644, modifiedAtMs } as const;
  expect(fileView(entry)).toMatchObject({ modified });
  expect(represent(entry, {}).headers['last-modified']).toMatch(/ GMT$/);
});
