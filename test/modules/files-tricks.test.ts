import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRoot } from '../agent/harness.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { Answer, TestUser } from '../helpers/panel.js';
import { CANARY, describeOutside, makePlaces, PATH_TRICKS, type Places } from '../helpers/path-tricks.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let url: string;
let directory: string;
/** Of a file that can be pulled. */
let source: { server: Server; url: string };
/** With a file of the canary's name in it, and one that is only there when it has been unpacked. */
let archiveBytes: Buffer;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel, {}, { pullAllowedNetworks: ['127.0.0.1/32'] });
  owner = await panel.createUser();
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  url = `/api/servers/${server.id}/files`;
  directory = await node.install(server);
  source = await serveSource();
  archiveBytes = makeArchive();
});

afterAll(async () => {
  source.server.close();
  await node.close();
  await panel.close();
});

async function serveSource() {
  const server = createServer((_request, response) => response.end('pulled')).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return { server, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/pulled` };
}

function makeArchive(): Buffer {
  const places = makePlaces();
  try {
    for (const name of [CANARY, 'stolen']) writeFileSync(join(places.server, name), 'unpacked');
    return execFileSync('tar', ['-C', places.server, '-cf', '-', CANARY, 'stolen']);
  } finally {
    rmSync(places.root, { recursive: true });
  }
}

type Call = Parameters<PanelWithDoors['call']>;

/** Every way to name a path over REST; a request after the other, until one is refused. */
const ATTEMPTS: Readonly<Record<string, (path: string) => Call | Generator<Call, void, Answer>>> = {
  list: (path) => ['GET', `${url}?${pathQuery(path)}`],
  stat: (path) => ['GET', `${url}/stat?${pathQuery(path)}`],
  search: (path) => ['GET', `${url}/search?${pathQuery(path)}&text=*`],
  download: (path) => ['GET', `${url}/download?${pathQuery(path)}`],
  permissions: (path) => ['POST', `${url}/permissions`, { path, mode: '0777' }],
  'copy from': (path) => ['POST', `${url}/copy`, { from: path, to: '/copy' }],
  'copy to': (path) => ['POST', `${url}/copy`, { from: '/d/file', to: path }],
  write: (path) => ['PUT', `${url}/write`, { path, content: 'overwritten' }],
  create: (path) => ['POST', `${url}/create`, { path, content: 'created' }],
  'create a directory': (path) => ['POST', `${url}/create`, { path, isDirectory: true }],
  upload: (path) => ['POST', `${url}/upload`, uploadForm(path)],
  'upload, directory in the address': (path) => [
    ...(['POST', `${url}/upload?${pathQuery(path)}`, uploadForm(null)] as const),
  ],
  'upload, name of the file': (path) => ['POST', `${url}/upload`, uploadForm('/d', path)],
  'upload in parts': uploadInParts,
  'upload in parts into': (path) => uploadInParts(`${path}/${CANARY}`),
  'rename to': (path) => ['POST', `${url}/rename`, { from: '/d/file', to: path, replace: true }],
  'rename from': (path) => ['POST', `${url}/rename`, { from: path, to: '/renamed' }],
  compress: (path) => ['POST', `${url}/compress`, { ...archive, paths: ['/d', path] }],
  'compress to': (path) => ['POST', `${url}/compress`, { ...archive, paths: ['/d'], targetPath: path }],
  'compress, name of the archive': (path) => [
    ...(['POST', `${url}/compress`, { ...archive, paths: ['/d'], archiveName: path }] as const),
  ],
  decompress: (path) => ['POST', `${url}/decompress`, { archivePath: path, targetPath: '/unpacked' }],
  'decompress to': (path) => ['POST', `${url}/decompress`, { archivePath: '/archive', targetPath: path }],
  pull: (path) => ['POST', `${url}/pull`, { url: source.url, path, name: CANARY, replace: true }],
  'pull, name of the file': (path) => [
    ...(['POST', `${url}/pull`, { url: source.url, path: '/d', name: path, replace: true }] as const),
  ],
  delete: (path) => ['DELETE', `${url}?${pathQuery(path)}`],
};

const archive = { archiveName: 'copy', targetPath: '/', format: 'tar', replace: true };

function* uploadInParts(path: string): Generator<Call, void, Answer> {
  const begun = yield ['POST', `${url}/uploads`, { path, sizeBytes: 8, replace: true }];
  const upload = `${url}/uploads/${begun.body.data.uploadId}`;
  yield ['PATCH', `${upload}?offset=0`, Buffer.from('uploaded')];
  yield ['POST', `${upload}/finish`];
}

const READS: ReadonlySet<string> = new Set(['list', 'stat', 'search', 'download']);

function pathQuery(path: string): string {
  return String(new URLSearchParams({ path }));
}

function uploadForm(path: string | null, name = CANARY): FormData {
  const form = new FormData();
  if (path !== null) form.append('path', path);
  form.append('file', new File(['uploaded'], name));
  return form;
}

async function send([method, address, body]: Call): Promise<Answer> {
  if (!Buffer.isBuffer(body)) return panel.call(method, address, body, owner.token);
  const headers = { authorization: `Bearer ${owner.token}`, 'content-type': 'application/octet-stream' };
  const { statusCode, body: text } = await panel.app.inject({ method: 'PATCH', url: address, headers, body });
  return { status: statusCode, headers: {}, body: undefined, text };
}

/** The last answer: of what was refused, or at the end. */
async function sendAll(name: string, path: string): Promise<Answer> {
  const attempt = ATTEMPTS[name]?.(path) ?? [];
  if (Array.isArray(attempt)) return send(attempt as Call);
  let step = attempt.next();
  for (;;) {
    if (step.done) throw new Error('Nothing was asked.');
    const answer = await send(step.value);
    if (answer.status >= 400) return answer;
    step = attempt.next(answer);
    if (step.done) return answer;
  }
}

function beside(name: string): string {
  return join(dirname(directory), name);
}

/** Contents only: what a link says was written by who may read it. */
function hasTakenIn(): boolean {
  if (existsSync(join(directory, 'unpacked/stolen'))) return true;
  const path = join(directory, 'copy');
  const status = lstatSync(path, { throwIfNoEntry: false });
  if (status?.isFile() !== true || status.size > 1_000_000) return false;
  const isArchive = status.size > CANARY.length;
  const content = isArchive ? execFileSync('tar', ['-xOf', path]) : readFileSync(path);
  return content.includes(CANARY);
}

function emptyDirectory(): void {
  for (const name of readdirSync(directory)) rmSync(`${directory}/${name}`, { recursive: true, force: true });
}

/** What is inside: a sparse terabyte would take for ever to be handed out or copied. */
const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  'a file of a terabyte of nothing': ['download', 'copy from', 'compress'],
};

/** What there is to be taken from outside is what the attempt takes. */
function prepare(name: string, places: Places): void {
  if (name === 'decompress to') writeFileSync(join(directory, 'archive'), archiveBytes);
  if (name !== 'decompress') return;
  const canaries = [places.secret, join(places.outside, 'inner', CANARY)];
  for (const path of [...canaries, join(places.root, `${basename(directory)}-other`, CANARY)]) {
    writeFileSync(path, archiveBytes);
  }
}

async function tryPath(name: string, trick: (typeof PATH_TRICKS)[number]): Promise<string[]> {
  emptyDirectory();
  const faults: string[] = [];
  const places = makePlaces(directory);
  try {
    // What climbs out of the real directory gets there, too.
    symlinkSync(places.outside, beside('outside'));
    symlinkSync(`${places.root}/${basename(directory)}-other`, beside(`${basename(directory)}-other`));
    trick.prepare?.(places);
    prepare(name, places);
    const before = describeOutside(places);
    const answer = await sendAll(name, trick.path(places));
    if (answer.status >= 500) faults.push(`${name}: ${answer.text}`);
    if (READS.has(name) && answer.status < 400 && answer.text.includes(CANARY)) {
      faults.push(`${name} shows: ${answer.text.slice(0, 200)}`);
    }
    if (hasTakenIn()) faults.push(`${name} took something in`);
    if (describeOutside(places) !== before) faults.push(`${name} changed something outside: ${answer.text}`);
  } finally {
    for (const door of ['outside', `${basename(directory)}-other`]) rmSync(beside(door), { force: true });
    rmSync(places.root, { recursive: true, force: true });
  }
  return faults;
}

/** Where each succeeds in a directory that holds `d/file` and an archive; the rest does at `/d/file`. */
const HARMLESS: Readonly<Record<string, string>> = {
  list: '/d',
  search: '/d',
  upload: '/d',
  'upload, directory in the address': '/d',
  'upload, name of the file': 'new',
  'upload in parts into': '/d',
  create: '/new',
  'create a directory': '/new',
  'copy to': '/new',
  'compress to': '/d',
  'compress, name of the archive': 'new',
  decompress: '/archive',
  'decompress to': '/d',
  pull: '/d',
  'pull, name of the file': 'new',
};

test('each attempt does its work where it may', async () => {
  for (const name of Object.keys(ATTEMPTS)) {
    emptyDirectory();
    mkdirSync(join(directory, 'd'));
    writeFileSync(join(directory, 'd/file'), 'inside');
    writeFileSync(join(directory, 'archive'), archiveBytes);
    const { status, text } = await sendAll(name, HARMLESS[name] ?? '/d/file');
    expect([name, status, text]).toEqual([name, expect.toSatisfy((code: number) => code < 300), text]);
  }
});

test('every route that has files in it is among the attempts', () => {
  const { paths } = panel.app.swagger() as { paths: Record<string, Record<string, unknown>> };
  const known = new Set(Object.values(ATTEMPTS).flatMap((attempt) => routesOf(attempt('/x'))));
  const routes = Object.entries(paths).flatMap(([path, methods]) =>
    path.includes('/files') ? Object.keys(methods).map((method) => `${method.toUpperCase()} ${path}`) : [],
  );
  // They have no path in them.
  const others = routes.filter((route) => !/tasks|uploads/.test(route));
  expect(others.length).toBeGreaterThan(12);
  expect(others.filter((route) => !known.has(route))).toEqual([]);
});

function routesOf(attempt: Call | Generator<Call, void, Answer>): string[] {
  const call = Array.isArray(attempt) ? (attempt as Call) : attempt.next().value;
  if (!call) return [];
  const path = call[1].replace(/\?.*/, '').replace(url, '/api/servers/{serverId}/files');
  return [`${call[0]} ${path}`];
}

test.each(PATH_TRICKS.filter(({ needsRoot }) => !needsRoot || isRoot))(
  '$name leads nowhere outside',
  async (trick) => {
    const faults: string[] = [];
    for (const name of Object.keys(ATTEMPTS)) {
      if (!LEFT_OUT[trick.name]?.includes(name)) faults.push(...(await tryPath(name, trick)));
    }
    expect(faults).toEqual([]);
  },
);
