import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmodSync, linkSync, mkdirSync, statSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { type Archives, countDescriptors, describe, FORMATS, openArchives } from './archives-harness.js';
import { isRoot, SERVER_UID } from './harness.js';

const LONG = 'long-'.repeat(40);

/** A bit of everything that may be in a server's directory. */
function makeTree({ at }: Archives) {
  mkdirSync(at('world/region'), { recursive: true });
  mkdirSync(at('world/empty'));
  mkdirSync(at(`world/${LONG}/${LONG}`), { recursive: true });
  writeFileSync(at('world/level.dat'), randomBytes(3000));
  writeFileSync(at('world/nothing'), '');
  writeFileSync(at('world/region/r.0.0.mca'), Buffer.concat([randomBytes(700_000), Buffer.alloc(1_300_000)]));
  writeFileSync(at(`world/${LONG}/${LONG}/deep`), 'deep');
  writeFileSync(at('world/Grüße – 世界.txt'), 'named in letters of the world');
  writeFileSync(at('world/start.sh'), '#!/bin/sh\n');
  chmodSync(at('world/start.sh'), 0o755);
  writeFileSync(at('world/of 1999'), 'old');
  utimesSync(at('world/of 1999'), 915_148_800, 915_148_800);
  symlinkSync('region/r.0.0.mca', at('world/link'));
  symlinkSync('../level.dat', at('world/region/up'));
  linkSync(at('world/level.dat'), at('world/second name'));
  for (let index = 0; index < 100; index += 1) writeFileSync(at(`world/region/${index}`), randomBytes(index));
  if (isRoot) execFileSync('chown', ['-R', `${SERVER_UID}:${SERVER_UID}`, at('world')]);
}

test.each(FORMATS)('what is packed as %s and unpacked elsewhere is what it was', async (format) => {
  const archives = openArchives();
  const { at, compress, extract } = archives;
  makeTree(archives);
  const descriptors = countDescriptors();
  const { entry, entries } = await compress(['/world'], `/backups/of/a.${format}`, format);
  expect(entry).toMatchObject({ name: `a.${format}`, kind: 'file', mode: 0o644 });
  expect(entry.sizeBytes).toBe(statSync(at(`backups/of/a.${format}`)).size);
  const output = await extract(`/backups/of/a.${format}`, '/new/place');
  expect(describe(at('new/place/world'))).toEqual(describe(at('world')));
  expect(output.entries).toBe(entries);
  expect(countDescriptors()).toBe(descriptors);
  if (!isRoot) return;
  for (const path of ['new', 'new/place', 'new/place/world/region/7', `backups/of/a.${format}`]) {
    expect(statSync(at(path)), path).toMatchObject({ uid: SERVER_UID, gid: SERVER_UID });
  }
});

const UNPACK: Record<string, (archive: string, to: string) => void> = {
  tar: (archive, to) => execFileSync('tar', ['-xf', archive, '-C', to]),
  'tar.gz': (archive, to) => execFileSync('tar', ['-xzf', archive, '-C', to]),
  'tar.zst': (archive, to) => execFileSync('tar', ['--zstd', '-xf', archive, '-C', to]),
  zip: (archive, to) => execFileSync('unzip', ['-q', archive, '-d', to]),
};

const PACK: Record<string, (archive: string, from: string) => void> = {
  tar: (archive, from) => execFileSync('tar', ['-cf', archive, '-C', from, 'world']),
  'tar.gz': (archive, from) => execFileSync('tar', ['-czf', archive, '-C', from, 'world']),
  'tar.zst': (archive, from) => execFileSync('tar', ['--zstd', '-cf', archive, '-C', from, './world']),
  zip: (archive, from) => execFileSync('zip', ['-qry', archive, 'world'], { cwd: from }),
};

test.each(FORMATS)('other programs unpack our %s, and we theirs', async (format) => {
  const archives = openArchives();
  const { at, compress, extract } = archives;
  makeTree(archives);
  await compress(['/world'], '/ours', format);
  mkdirSync(at('theirs'));
  UNPACK[format]?.(at('ours'), at('theirs'));
  expect(describe(at('theirs/world'))).toEqual(describe(at('world')));
  PACK[format]?.(at('of.theirs'), at('.'));
  await extract('/of.theirs', '/from-theirs');
  expect(describe(at('from-theirs/world'))).toEqual(describe(at('world')));
});
