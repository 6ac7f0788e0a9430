import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { chmodSync, chownSync, lstatSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { type Files, openFiles, owner, UUID } from './files-harness.js';

const SPECIAL = 0o7000;
const EVIL = 0o7755;
const content = Buffer.from('#!/bin/sh\n');
const source = () => Readable.from([content]);

const workCall = (files: Files) => ({ ...files.call, report() {} });

async function put(files: Files, path: string, how: Parameters<Files['open']>[1]): Promise<string> {
  const { handle } = await files.open(path, { write: true, ...how });
  await files.service.writeHandle(handle, { offset: 0 }, source(), files.call);
  return handle;
}

const close = (files: Files, handle: string) =>
  files.service.operateHandle(handle, 'close', { discard: false, isAbandoned: false }, files.call);

/** A directory and a file in it with every special bit that there is, as a game may make them. */
function makeEvil({ at }: Files, name: string) {
  mkdirSync(at(name));
  writeFileSync(at(`${name}/file`), content);
  for (const path of [name, `${name}/file`]) {
    if (owner !== null) chownSync(at(path), owner.uid, owner.gid);
    chmodSync(at(path), EVIL);
  }
}

/** Each leaves something at `made`; what is in it counts too. */
const WRITERS: Record<string, (files: Files) => Promise<unknown>> = {
  write: ({ write }) => write('made', content),
  'write over': async (files) => {
    makeEvil(files, 'evil');
    execFileSync('cp', ['-p', files.at('evil/file'), files.at('made')]);
    await files.write('made', content);
  },
  'write with directories': ({ write }) => write('made/a/b/file', content),
  copy: async (files) => {
    makeEvil(files, 'evil');
    await files.operate('copy', { from: 'evil/file', to: 'made' });
  },
  'copy a directory': async (files) => {
    makeEvil(files, 'evil');
    await files.operate('copy', { from: 'evil', to: 'made' });
  },
  'make-directory': ({ operate }) => operate('make-directory', { path: 'made', parents: false, mode: EVIL }),
  'make-directory with parents': ({ operate }) =>
    operate('make-directory', { path: 'made/a/b', parents: true, mode: EVIL }),
  'make-link': ({ operate }) => operate('make-link', { path: 'made', target: 'd/file' }),
  'set-attributes': async (files) => {
    makeEvil(files, 'made');
    for (const path of ['made/file', 'made']) await files.operate('set-attributes', { path, mode: EVIL });
  },
  'open and write': async (files) => {
    await close(files, await put(files, 'made', { create: true, mode: EVIL }));
  },
  'open and write over': async (files) => {
    makeEvil(files, 'made');
    chmodSync(files.at('made'), 0o755);
    await close(files, await put(files, 'made/file', {}));
  },
  'open for its name at the close': async (files) => {
    await close(files, await put(files, 'made', { create: true, truncate: true, atClose: true, mode: EVIL }));
  },
  'set-attributes of a handle': async (files) => {
    const handle = await put(files, 'made', { create: true });
    await files.service.operateHandle(handle, 'set-attributes', { mode: EVIL }, files.call);
    await close(files, handle);
  },
  'upload in parts': async (files) => {
    const request = { path: 'made', replace: true, sizeBytes: content.length };
    const { uploadId } = await files.operate('begin-upload', request);
    await files.service.writeUpload(UUID, { uploadId, offset: 0 }, source(), files.call);
    const sha256 = createHash('sha256').update(content).digest('hex');
    await files.operate('finish-upload', { uploadId, sha256 });
  },
  compress: async (files) => {
    const request = { paths: ['d'], to: 'made', format: 'tar.gz', replace: false } as const;
    await files.service.work(UUID, 'compress', { ...request, paths: ['d'] }, workCall(files));
  },
  extract: async (files) => {
    // With special bits in it, it would be refused.
    makeEvil(files, 'evil');
    for (const path of ['evil', 'evil/file']) chmodSync(files.at(path), 0o755);
    execFileSync('tar', ['-C', files.at('evil'), '-czpf', files.at('evil.tar.gz'), '.']);
    await files.service.work(UUID, 'extract', { path: 'evil.tar.gz', to: 'made' }, workCall(files));
  },
};

function everythingIn(path: string): string[] {
  const below = lstatSync(path).isDirectory() ? readdirSync(path) : [];
  return [path, ...below.flatMap((name) => everythingIn(join(path, name)))];
}

describe.each([
  ['an ordinary directory', 0o755],
  ['a directory that gives its group away', 0o2775],
])('in %s', (_name, mode) => {
  test.each(Object.entries(WRITERS))(
    '%s: it is the servers’ user’s, and no special bit stays',
    async (_writer, write) => {
      const files = openFiles();
      chmodSync(files.places.server, mode);
      await write(files);
      const made = everythingIn(files.at('made'));
      for (const path of made) {
        const { uid, gid, mode } = lstatSync(path);
        const mine = owner ?? { uid: process.getuid?.(), gid: process.getgid?.() };
        expect([path, uid, gid, (mode & SPECIAL).toString(8)]).toEqual([path, mine.uid, mine.gid, '0']);
      }
    },
  );
});
