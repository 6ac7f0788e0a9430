import { lstatSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { isRoot } from '../agent/harness.js';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';
import { type FileNode, startFileNode } from '../helpers/file-node.js';
import type { TestUser } from '../helpers/panel.js';
import { CANARY, describeOutside, makePlaces, PATH_TRICKS, type Places } from '../helpers/path-tricks.js';
import { insertServer } from '../helpers/servers.js';

let panel: PanelWithDoors;
let node: FileNode;
let owner: TestUser;
let url: string;
let directory: string;

beforeAll(async () => {
  panel = await startPanelWithDoors();
  node = await startFileNode(panel);
  owner = await panel.createUser();
  const server = await insertServer(panel, { nodeId: node.id, ownerId: owner.id });
  url = `/api/servers/${server.id}/files`;
  directory = await node.install(server);
});

afterAll(async () => {
  await node.close();
  await panel.close();
});

/** Every way to name a path over REST. */
const ATTEMPTS: readonly [name: string, attempt: (path: string) => Parameters<PanelWithDoors['call']>][] = [
  ['list', (path) => ['GET', `${url}?${pathQuery(path)}`]],
  ['stat', (path) => ['GET', `${url}/stat?${pathQuery(path)}`]],
  ['download', (path) => ['GET', `${url}/download?${pathQuery(path)}`]],
  ['permissions', (path) => ['POST', `${url}/permissions`, { path, mode: '0777' }]],
  ['copy from', (path) => ['POST', `${url}/copy`, { from: path, to: '/copy' }]],
  ['copy to', (path) => ['POST', `${url}/copy`, { from: '/d/file', to: path }]],
  ['write', (path) => ['PUT', `${url}/write`, { path, content: 'overwritten' }]],
  ['create', (path) => ['POST', `${url}/create`, { path, content: 'created' }]],
  ['create a directory', (path) => ['POST', `${url}/create`, { path, isDirectory: true }]],
  ['upload', (path) => ['POST', `${url}/upload`, uploadForm(path)]],
  [
    'upload, directory in the address',
    (path) => ['POST', `${url}/upload?${pathQuery(path)}`, uploadForm('/')],
  ],
  ['rename to', (path) => ['POST', `${url}/rename`, { from: '/d/file', to: path, replace: true }]],
  ['rename from', (path) => ['POST', `${url}/rename`, { from: path, to: '/renamed' }]],
  ['delete', (path) => ['DELETE', `${url}?${pathQuery(path)}`]],
];

const READS: ReadonlySet<string> = new Set(['list', 'stat', 'download']);

function pathQuery(path: string): string {
  return String(new URLSearchParams({ path }));
}

function uploadForm(path: string): FormData {
  const form = new FormData();
  form.append('path', path);
  form.append('file', new File(['uploaded'], CANARY));
  return form;
}

function beside(name: string): string {
  return join(dirname(directory), name);
}

function hasSecretIn(name: string): boolean {
  const path = join(directory, name);
  const status = lstatSync(path, { throwIfNoEntry: false });
  return status?.isFile() === true && status.size < 1000 && readFileSync(path, 'utf8').includes(CANARY);
}

function emptyDirectory(): void {
  for (const name of readdirSync(directory)) rmSync(`${directory}/${name}`, { recursive: true, force: true });
}

/** What is inside: a sparse terabyte would take for ever to be handed out or copied. */
const LEFT_OUT: Readonly<Record<string, readonly string[]>> = {
  'a file of a terabyte of nothing': ['download', 'copy from'],
};

test.each(PATH_TRICKS.filter(({ needsRoot }) => !needsRoot || isRoot))(
  '$name leads nowhere outside',
  async (trick) => {
    const faults: string[] = [];
    for (const [name, attempt] of ATTEMPTS) {
      if (LEFT_OUT[trick.name]?.includes(name)) continue;
      emptyDirectory();
      const places: Places = makePlaces(directory);
      try {
        // What climbs out of the real directory gets there, too.
        symlinkSync(places.outside, beside('outside'));
        symlinkSync(`${places.root}/${basename(directory)}-other`, beside(`${basename(directory)}-other`));
        trick.prepare?.(places);
        const before = describeOutside(places);
        const path = trick.path(places);
        const answer = await panel.call(...withToken(attempt(path)));
        if (answer.status >= 500) faults.push(`${name}: ${answer.text}`);
        if (READS.has(name) && answer.status < 400 && answer.text.includes(CANARY)) {
          faults.push(`${name} shows: ${answer.text.slice(0, 200)}`);
        }
        if (hasSecretIn('copy')) faults.push(`${name} took something in`);
        if (describeOutside(places) !== before)
          faults.push(`${name} changed something outside: ${answer.text}`);
      } finally {
        for (const name of ['outside', `${basename(directory)}-other`]) rmSync(beside(name), { force: true });
        rmSync(places.root, { recursive: true, force: true });
      }
    }
    expect(faults).toEqual([]);
  },
);

function withToken([method, address, body]: Parameters<PanelWithDoors['call']>) {
  return [method, address, body, owner.token] as const;
}
