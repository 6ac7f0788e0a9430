import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  linkSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

/** A server's directory, and beside it one that nothing may ever reach, not even its names. */
export interface Places {
  root: string;
  server: string;
  outside: string;
  secret: string;
}

export const CANARY = 'canary-7f3d';

export interface PathTrick {
  name: string;
  /** What somebody asks for; most doors must refuse, none may show or change anything outside. */
  path(places: Places): string;
  prepare?(places: Places): void;
  /** Needs rights that only root has. */
  needsRoot?: boolean;
}

/** @param server An existing directory; without it one is made. */
export function makePlaces(server?: string): Places {
  const root = mkdtempSync(join(tmpdir(), 'catalyst-tricks-'));
  const own = server ?? join(root, 'server');
  const outside = join(root, 'outside');
  mkdirSync(own, { recursive: true });
  mkdirSync(join(outside, 'inner'), { recursive: true });
  const secret = join(outside, CANARY);
  writeFileSync(secret, CANARY);
  writeFileSync(join(outside, 'inner', CANARY), CANARY);
  // Its name begins like the server's.
  mkdirSync(join(root, `${basename(own)}-other`), { recursive: true });
  writeFileSync(join(root, `${basename(own)}-other`, CANARY), CANARY);
  mkdirSync(join(own, 'd'), { recursive: true });
  writeFileSync(join(own, 'd', 'file'), 'inside');
  return { root, server: own, outside, secret };
}

export function removePlaces({ root, server }: Places): void {
  for (const path of [server, root]) rmSync(path, { recursive: true, force: true });
}

/** Everything there is outside, as text that is the same as long as nothing was touched. */
export function describeOutside({ root, server, outside }: Places): string {
  return [outside, join(root, `${basename(server)}-other`)].flatMap((path) => describeTree(path)).join('\n');
}

function describeTree(path: string): string[] {
  const { uid, gid, mode, size, mtimeMs } = lstatSync(path);
  const isDirectory = lstatSync(path).isDirectory();
  const own = `${path} ${uid} ${gid} ${mode} ${size} ${mtimeMs} ${isDirectory ? '' : readFileSync(path, 'utf8')}`;
  const below = isDirectory ? readdirSync(path).sort() : [];
  return [own, ...below.flatMap((name) => describeTree(join(path, name)))];
}

let socketDirectory: string | undefined;

/** A socket that nobody listens on any more: made once, as it takes a process of its own. */
function socketToCopy(): string {
  if (socketDirectory === undefined) {
    const directory = mkdtempSync(join(tmpdir(), 'catalyst-socket-'));
    process.once('exit', () => rmSync(directory, { recursive: true, force: true }));
    const path = JSON.stringify(join(directory, 's'));
    run(process.execPath, '-e', `require('net').createServer().listen(${path}, () => process.exit())`);
    socketDirectory = directory;
  }
  return join(socketDirectory, 's');
}

const link = (target: (places: Places) => string, name: string) => (places: Places) =>
  symlinkSync(target(places), join(places.server, name));
const run = (tool: string, ...words: string[]) => void execFileSync(tool, words, { stdio: 'ignore' });
const up = (places: Places) => `../${basename(places.outside)}`;

export const PATH_TRICKS: PathTrick[] = [
  // Paths that climb.
  { name: 'two dots', path: () => '..' },
  { name: 'two dots and a slash', path: () => '../' },
  { name: 'a slash and two dots', path: () => '/..' },
  { name: 'a file beside the directory', path: (places) => `${up(places)}/${CANARY}` },
  { name: 'up after a slash', path: (places) => `/${up(places)}/${CANARY}` },
  { name: 'up by way of a directory', path: (places) => `d/../${up(places)}/${CANARY}` },
  { name: 'up by way of what is not there', path: (places) => `x/y/../../${up(places)}/${CANARY}` },
  { name: 'up with doubled slashes', path: (places) => `..//${basename(places.outside)}//${CANARY}` },
  { name: 'up with single dots between', path: (places) => `./.././${basename(places.outside)}/${CANARY}` },
  { name: 'up to the top', path: () => `${'../'.repeat(40)}etc/passwd` },
  { name: 'up to the top, after a slash', path: () => `/${'../'.repeat(40)}etc/shadow` },
  { name: 'up and back into the directory', path: ({ server }) => `../${basename(server)}/d/file` },
  {
    name: 'up to a directory with the same beginning',
    path: ({ server }) => `../${basename(server)}-other/${CANARY}`,
  },
  { name: 'the end of a name that begins like the server', path: () => `-other/${CANARY}` },
  { name: 'two dots at the end', path: () => 'd/..' },
  { name: 'two dots at the end, and up', path: () => 'd/../..' },
  // Paths from the top of the machine.
  { name: 'an absolute path', path: ({ secret }) => secret },
  { name: 'an absolute path with two slashes', path: ({ secret }) => `/${secret}` },
  { name: 'a path of this process', path: () => '/proc/self/environ' },
  { name: 'the root of this process', path: ({ secret }) => `/proc/self/root${secret}` },
  { name: 'an open file of this process', path: () => '/proc/self/fd/0' },
  { name: 'a device', path: () => '/dev/zero' },
  { name: 'a file address', path: ({ secret }) => `file://${secret}` },
  // Other spellings.
  { name: 'dots written in percent', path: () => `%2e%2e/outside/${CANARY}` },
  { name: 'dots and slash written in percent', path: () => `%2e%2e%2foutside%2f${CANARY}` },
  { name: 'dots written in percent twice', path: () => `%252e%252e%252foutside%252f${CANARY}` },
  { name: 'backslashes', path: () => `..\\outside\\${CANARY}` },
  { name: 'a drive', path: () => 'C:\\..\\outside' },
  { name: 'overlong dots', path: () => '\u00c0\u00ae\u00c0\u00ae/outside' },
  { name: 'full-width dots and slash', path: () => `\uff0e\uff0e\uff0foutside\uff0f${CANARY}` },
  { name: 'a dot leader', path: () => `\u2025/outside/${CANARY}` },
  { name: 'a division slash', path: () => `..\u2215outside\u2215${CANARY}` },
  { name: 'three dots', path: () => `.../outside/${CANARY}` },
  { name: 'dots and a space', path: () => `.. /outside/${CANARY}` },
  { name: 'a NUL at the end', path: ({ secret }) => `${secret}\0` },
  { name: 'a NUL and a harmless end', path: (places) => `${up(places)}/${CANARY}\0.txt` },
  { name: 'a line end', path: () => `..\n/outside/${CANARY}` },
  { name: 'a tilde', path: () => '~/.ssh/id_ed25519' },
  { name: 'a variable', path: () => '$HOME/.profile' },
  { name: 'a lone surrogate', path: () => '\ud800/x' },
  // Sizes.
  { name: 'a name of 256 bytes', path: () => 'n'.repeat(256) },
  { name: 'a name of 255 characters in more bytes', path: () => '\u00fc'.repeat(255) },
  { name: 'a path without end', path: () => 'd/'.repeat(2000) },
  // The directory itself.
  { name: 'the directory, empty', path: () => '' },
  { name: 'the directory, a slash', path: () => '/' },
  { name: 'the directory, slashes and dots', path: () => '/.//./' },
  // Links.
  { name: 'a link to a file', path: () => 'l', prepare: link(({ secret }) => secret, 'l') },
  {
    name: 'a relative link to a file',
    path: () => 'l',
    prepare: link((places) => `${up(places)}/${CANARY}`, 'l'),
  },
  { name: 'a link to a directory', path: () => 'l', prepare: link(({ outside }) => outside, 'l') },
  {
    name: 'a link to a directory, with a slash',
    path: () => 'l/',
    prepare: link(({ outside }) => outside, 'l'),
  },
  {
    name: 'a link to a directory, with a dot',
    path: () => 'l/.',
    prepare: link(({ outside }) => outside, 'l'),
  },
  {
    name: 'a file in a linked directory',
    path: () => `l/${CANARY}`,
    prepare: link(({ outside }) => outside, 'l'),
  },
  { name: 'a file in a relatively linked directory', path: () => `l/${CANARY}`, prepare: link(up, 'l') },
  {
    name: 'a new file in a linked directory',
    path: () => 'l/new',
    prepare: link(({ outside }) => outside, 'l'),
  },
  {
    name: 'deep in a linked directory',
    path: () => `l/inner/${CANARY}`,
    prepare: link(({ outside }) => outside, 'l'),
  },
  {
    name: 'a link to the directory above',
    path: () => `l/outside/${CANARY}`,
    prepare: link(() => '..', 'l'),
  },
  { name: 'a link to the top', path: ({ secret }) => `l${secret}`, prepare: link(() => '/', 'l') },
  {
    name: 'a link to nothing outside',
    path: () => 'l',
    prepare: link(({ outside }) => join(outside, 'new'), 'l'),
  },
  { name: 'a link in a circle', path: () => 'l/x', prepare: link(() => 'l', 'l') },
  {
    name: 'a link by way of a link',
    path: () => `l/${CANARY}`,
    prepare(places) {
      link(() => 'm', 'l')(places);
      link(({ outside }) => outside, 'm')(places);
    },
  },
  {
    name: 'a link that climbs out of a linked directory',
    path: () => `d/l/${CANARY}`,
    prepare: (places) => symlinkSync(`../../${basename(places.outside)}`, join(places.server, 'd', 'l')),
  },
  {
    name: 'a link that goes in and up',
    path: () => `l/${CANARY}`,
    prepare: link((places) => `d/../../${basename(places.outside)}`, 'l'),
  },
  {
    name: 'a link up, in a chain of many',
    path: () => 'chain0',
    prepare(places) {
      for (let index = 0; index < 39; index += 1) link(() => `chain${index + 1}`, `chain${index}`)(places);
      link(() => up(places), 'chain39')(places);
    },
  },
  {
    name: 'a link to the directory of this process',
    path: () => `l/${CANARY}`,
    prepare: link(() => '/proc/self/cwd', 'l'),
  },
  {
    name: 'a link to an open file of this process',
    path: () => 'l',
    prepare: link(() => '/proc/self/fd/1', 'l'),
  },
  // What is not an ordinary file.
  {
    name: 'a hard link to a foreign file',
    path: () => 'h',
    prepare: ({ server, secret }) => linkSync(secret, join(server, 'h')),
    needsRoot: true,
  },
  {
    name: 'a hard link to a foreign link',
    path: () => 'h',
    prepare(places) {
      symlinkSync(places.secret, join(places.root, 'link'));
      linkSync(join(places.root, 'link'), join(places.server, 'h'));
    },
  },
  { name: 'a FIFO', path: () => 'p', prepare: ({ server }) => run('mkfifo', join(server, 'p')) },
  {
    name: 'a socket',
    path: () => 's',
    prepare: ({ server }) => run('cp', '--archive', socketToCopy(), join(server, 's')),
  },
  {
    name: 'a file of a terabyte of nothing',
    path: () => 'b',
    prepare({ server }) {
      writeFileSync(join(server, 'b'), '');
      truncateSync(join(server, 'b'), 2 ** 40);
    },
  },
  {
    name: 'a program with set-user-id',
    path: () => 'u',
    prepare({ server }) {
      writeFileSync(join(server, 'u'), '');
      chmodSync(join(server, 'u'), 0o4755);
    },
  },
];
