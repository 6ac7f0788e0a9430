import { lstatSync, mkdirSync, readdirSync, readlinkSync, rmSync, symlinkSync, unlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import ssh2, { type FileEntryWithStats, type SFTPWrapper, type Stats } from 'ssh2';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { isRoot } from '../agent/harness.js';
import { CANARY, describeOutside, makePlaces, PATH_TRICKS, type PathTrick } from '../helpers/path-tricks.js';
import {
  addKey,
  ask,
  closeHandle,
  connect,
  type Login,
  openFile,
  openSftp,
  readAt,
  type SftpStage,
  setSftpStage,
  writeAt,
} from './harness.js';

const { READ, WRITE, CREAT, TRUNC, APPEND, EXCL } = ssh2.utils.sftp.OPEN_MODE;
const ATTRIBUTES = { mode: 0o777, atime: 1000, mtime: 1000 } as never;

let stage: SftpStage;
let sftp: SFTPWrapper;
let directory: string;
let login: Login;

beforeAll(async () => {
  stage = await setSftpStage();
  const server = await stage.makeServer();
  const { privateText } = await addKey(stage, stage.owner);
  directory = server.directory;
  login = { port: stage.port, username: server.id, privateText };
});

beforeEach(async () => {
  sftp = await openSftp(await connect(login));
});

afterAll(() => stage.close());

async function readAll(path: string): Promise<string> {
  const handle = await openFile(sftp, path, READ);
  return String(await readAt(sftp, handle, 0, 1000).finally(() => closeHandle(sftp, handle)));
}

async function write(path: string, flags: number): Promise<void> {
  const handle = await openFile(sftp, path, flags);
  await writeAt(sftp, handle, 0, 'written').finally(() => closeHandle(sftp, handle));
}

async function changeOpen(path: string): Promise<void> {
  const handle = await openFile(sftp, path, READ | WRITE);
  await ask((done) => sftp.fsetstat(handle, ATTRIBUTES, done)).finally(() => closeHandle(sftp, handle));
}

async function names(path: string): Promise<string> {
  const entries = await ask<FileEntryWithStats[]>((done) => sftp.readdir(path, done as never));
  return entries.map(({ filename, longname }) => `${filename} ${longname}`).join('\n');
}

interface Operation {
  run(path: string): Promise<unknown>;
  /** Where it succeeds in a directory that holds `d/file` and nothing else. */
  harmless: string;
}

/** Every request of version 3 of the protocol that has a path in it. What it shows is its answer as text. */
const OPERATIONS: Record<string, Operation> = {
  'open to read': { run: readAll, harmless: '/d/file' },
  'open to write': { run: (path) => write(path, WRITE), harmless: '/d/file' },
  'open to make anew': { run: (path) => write(path, WRITE | CREAT | TRUNC), harmless: '/d/file' },
  'open to make': { run: (path) => write(path, WRITE | CREAT | EXCL), harmless: '/d/new' },
  'open to append': { run: (path) => write(path, WRITE | CREAT | APPEND), harmless: '/d/file' },
  'open below': { run: (path) => write(`${path}/new`, WRITE | CREAT | TRUNC), harmless: '/d' },
  'change attributes of what is open': { run: changeOpen, harmless: '/d/file' },
  'change attributes': {
    run: (path) => ask((done) => sftp.setstat(path, ATTRIBUTES, done)),
    harmless: '/d/file',
  },
  'cut off': {
    run: (path) => ask((done) => sftp.setstat(path, { size: 3 } as never, done)),
    harmless: '/d/file',
  },
  stat: { run: (path) => ask<Stats>((done) => sftp.stat(path, done as never)), harmless: '/d/file' },
  lstat: { run: (path) => ask<Stats>((done) => sftp.lstat(path, done as never)), harmless: '/d/file' },
  list: { run: names, harmless: '/d' },
  'real path': { run: (path) => ask((done) => sftp.realpath(path, done as never)), harmless: '/d' },
  'make a directory': { run: (path) => ask((done) => sftp.mkdir(path, done)), harmless: '/e' },
  'make a directory below': {
    run: (path) => ask((done) => sftp.mkdir(`${path}/new`, done)),
    harmless: '/d',
  },
  'remove a file': { run: (path) => ask((done) => sftp.unlink(path, done)), harmless: '/d/file' },
  'rename from': { run: (path) => ask((done) => sftp.rename(path, '/taken', done)), harmless: '/d' },
  'rename to': { run: (path) => ask((done) => sftp.rename('/d/file', path, done)), harmless: '/e' },
  'rename into': {
    run: (path) => ask((done) => sftp.rename('/d/file', `${path}/x`, done)),
    harmless: '/',
  },
  'read a link': { run: (path) => ask((done) => sftp.readlink(path, done as never)), harmless: '/link' },
  'make a link': { run: (path) => ask((done) => sftp.symlink('/d/file', path, done)), harmless: '/e' },
  'make a link to': { run: makeLinkAndRead, harmless: '/d/file' },
};

/** What leads out is not made; what was made shows nothing of outside. */
async function makeLinkAndRead(path: string): Promise<string> {
  await ask((done) => sftp.symlink(path, '/made', done));
  return await readAll('/made').catch(() => 'unreadable');
}

function empty(): void {
  for (const name of readdirSync(directory)) rmSync(`${directory}/${name}`, { recursive: true, force: true });
}

/** What links inside say was written there by who may read them. */
function linkTexts(): string[] {
  return ['', 'd'].flatMap((below) =>
    readdirSync(join(directory, below), { withFileTypes: true })
      .filter((entry) => entry.isSymbolicLink())
      .map(({ name }) => readlinkSync(join(directory, below, name))),
  );
}

/** What it shows of outside, if it does. */
function shownBy(name: string, answer: unknown, trick: PathTrick): string | null {
  const isForeignLink = trick.name.startsWith('a hard link');
  if (name === 'stat' || name === 'lstat') {
    return (answer as Stats).size === CANARY.length && !isForeignLink ? 'the size of what is outside' : null;
  }
  if (name === 'read a link') return linkTexts().includes(String(answer)) ? null : String(answer);
  if (name === 'real path') return String(answer).split('/').includes('..') ? String(answer) : null;
  return typeof answer === 'string' && answer.includes(CANARY) ? answer : null;
}

async function attempt(trick: PathTrick, name: string, { run }: Operation): Promise<string[]> {
  empty();
  const places = makePlaces(directory);
  // What climbs out of the real directory gets there, too.
  const doors = [
    [places.outside, join(dirname(directory), 'outside')],
    [`${places.root}/${basename(directory)}-other`, `${directory}-other`],
  ] as const;
  const faults: string[] = [];
  try {
    for (const [target, door] of doors) symlinkSync(target, door);
    trick.prepare?.(places);
    const before = describeOutside(places);
    const siblings = readdirSync(dirname(directory)).sort();
    const answer = await run(trick.path(places)).catch((error: unknown) => error);
    const shown = answer instanceof Error ? null : shownBy(name, answer, trick);
    if (shown !== null) faults.push(`${name} shows ${shown}`);
    if (describeOutside(places) !== before) faults.push(`${name} changed something outside`);
    expect(readdirSync(dirname(directory)).sort(), name).toEqual(siblings);
    const taken = await readAll('/taken').catch(() => '');
    if (taken.includes(CANARY)) faults.push(`${name} took something in`);
  } finally {
    for (const [, door] of doors) unlinkSync(door);
    rmSync(places.root, { recursive: true, force: true });
  }
  return faults;
}

test('each operation does its work where it may', async () => {
  for (const [name, { run, harmless }] of Object.entries(OPERATIONS)) {
    empty();
    mkdirSync(join(directory, 'd'));
    await write('/d/file', WRITE | CREAT | TRUNC);
    symlinkSync('d/file', join(directory, 'link'));
    await expect(run(harmless), name).resolves.not.toThrow();
    if (name === 'open to read') expect(await run(harmless)).toBe('written');
    if (name === 'list') expect(await run(harmless)).toMatch(/^file -rw/);
  }
});

test.each(PATH_TRICKS.filter(({ needsRoot }) => !needsRoot || isRoot))(
  '$name leads nowhere outside',
  async (trick) => {
    const faults: string[] = [];
    for (const [name, operation] of Object.entries(OPERATIONS)) {
      faults.push(...(await attempt(trick, name, operation)));
    }
    expect(faults).toEqual([]);
    // The connection has outlived it, and no handle was left open.
    expect(await ask((done) => sftp.realpath('.', done as never))).toBe('/');
    expect(lstatSync(directory).isDirectory()).toBe(true);
  },
);
