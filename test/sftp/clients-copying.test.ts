import { randomBytes } from 'node:crypto';
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { describeClients, describeTree, run, sshSettings } from './clients.js';
import { addKey, type SftpStage, scratch, setSftpStage } from './harness.js';

const FILES = 2000;
const FILES_PER_DIRECTORY = 100;
const TREE_TIMEOUT_MS = 180_000;

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

async function setUp() {
  const server = await stage.makeServer();
  const login = { port: stage.port, username: server.id, privateText };
  return {
    ...server,
    ...sshSettings(login),
    login,
    local: scratch(),
    inside: (...names: string[]) => path.join(server.directory, ...names),
  };
}

/** Small files in directories, one file of a few megabytes, and names that are no ASCII. */
function makeTree(directory: string, files: number): void {
  for (let index = 0; index < files; index += 1) {
    const below = path.join(directory, `d${Math.floor(index / FILES_PER_DIRECTORY)}`);
    mkdirSync(below, { recursive: true });
    writeFileSync(path.join(below, `file ${index} ü`), randomBytes(index % 5000));
  }
  writeFileSync(path.join(directory, 'd0', 'large'), randomBytes(7_000_003));
}

describeClients(['rclone'], () => {
  async function setUpRclone() {
    const place = await setUp();
    const { login, keyFile, local } = place;
    const given = {
      host: '127.0.0.1',
      port: login.port,
      user: login.username,
      'key-file': keyFile,
    };
    const options = Object.entries(given).map(([name, value]) => `--sftp-${name}=${value}`);
    return {
      ...place,
      rclone: (...words: string[]) =>
        run('rclone', ['--config=', '--retries=1', '--stats=0', '-v', ...options, ...words], {
          directory: local,
        }),
    };
  }

  test(
    'a tree of 2,000 files is copied and checked both ways, and the second time nothing is',
    async () => {
      const { rclone, local, inside } = await setUpRclone();
      makeTree(path.join(local, 'tree'), FILES);
      const copied = await rclone('copy', 'tree', ':sftp:tree');
      expect(copied).toMatchObject({ code: 0 });
      expect(copied.stderr).not.toMatch(/ERROR/);
      expect(describeTree(inside('tree'))).toEqual(describeTree(path.join(local, 'tree')));
      const checked = await rclone('check', 'tree', ':sftp:tree');
      expect(checked, checked.stderr).toMatchObject({ code: 0 });
      expect(checked.stderr).toMatch(/2001 matching files/);
      const again = await rclone('copy', 'tree', ':sftp:tree');
      expect(again.stderr).not.toMatch(/Copied/);
      expect((await rclone('copy', ':sftp:tree', 'back')).code).toBe(0);
      expect(describeTree(path.join(local, 'back'))).toEqual(describeTree(path.join(local, 'tree')));
    },
    TREE_TIMEOUT_MS,
  );

  test('sync removes what is gone and takes what is new, and nothing else', async () => {
    const { rclone, local, inside } = await setUpRclone();
    const tree = path.join(local, 'tree');
    makeTree(tree, 150);
    expect((await rclone('copy', 'tree', ':sftp:')).code).toBe(0);
    rmSync(path.join(tree, 'd1'), { recursive: true });
    rmSync(path.join(tree, 'd0', 'large'));
    writeFileSync(path.join(tree, 'd0', 'file 7 ü'), 'changed');
    mkdirSync(path.join(tree, 'new'));
    writeFileSync(path.join(tree, 'new', 'file'), 'new');
    const synced = await rclone('sync', 'tree', ':sftp:');
    expect(synced.code, synced.stderr).toBe(0);
    expect(synced.stderr.match(/Copied/g)).toHaveLength(2);
    expect(synced.stderr.match(/: Deleted/g)).toHaveLength(51);
    expect(describeTree(inside())).toEqual(describeTree(tree));
    const checked = await rclone('check', '--download', 'tree', ':sftp:');
    expect(checked, checked.stderr).toMatchObject({ code: 0 });
    writeFileSync(inside('d0/file 8 ü'), 'differs!');
    const differing = await rclone('check', '--download', 'tree', ':sftp:');
    expect(differing.code).toBe(1);
    expect(differing.stderr).toMatch(/1 differences found/);
  });

  test('move, moveto, size, cat, rcat, touch and purge work', async () => {
    const { rclone, local, inside } = await setUpRclone();
    makeTree(path.join(local, 'tree'), 30);
    const before = describeTree(path.join(local, 'tree'));
    expect((await rclone('move', 'tree', ':sftp:a')).code).toBe(0);
    expect((await rclone('moveto', ':sftp:a/d0/large', ':sftp:a/d0/larger')).code).toBe(0);
    expect((await rclone('moveto', ':sftp:a', ':sftp:b/c')).code).toBe(0);
    expect(describeTree(inside('b/c'))).toEqual(before.map((line) => line.replace('large', 'larger')));
    expect((await rclone('size', '--json', ':sftp:b')).stdout).toContain('"count":31');
    expect((await rclone('touch', '-t', '2021-03-04T05:06:07', ':sftp:b/touched')).code).toBe(0);
    expect(statSync(inside('b/touched')).mtime).toEqual(new Date('2021-03-04T05:06:07Z'));
    expect((await rclone('cat', ':sftp:b/c/d0/larger')).stdout.length).toBeGreaterThan(0);
    expect((await rclone('purge', ':sftp:b')).code).toBe(0);
    expect(readdirSync(inside())).toEqual([]);
  });
});

describeClients(['lftp'], () => {
  test('mirror takes a tree there and back, takes only what is newer, and deletes', async () => {
    const { login, options, local, inside } = await setUp();
    const ssh = ['ssh', '-a', '-x', ...options.flatMap((option) => ['-o', option])].join(' ');
    const lftp = (...commands: string[]) => {
      const opening = [
        'set cmd:fail-exit true',
        'set net:max-retries 1',
        `set sftp:connect-program '${ssh}'`,
        `open -u ${login.username}, sftp://127.0.0.1:${login.port}`,
      ];
      return run('lftp', ['--norc', '-c', [...opening, ...commands].join('; ')], { directory: local });
    };
    const tree = path.join(local, 'tree');
    makeTree(tree, 150);
    const old = new Date('2021-03-04T05:06:07Z');
    utimesSync(path.join(tree, 'd0', 'large'), old, old);
    const there = await lftp('mirror -R -v --parallel=4 tree world', 'mirror --parallel=4 world back');
    expect(there, there.stderr).toMatchObject({ code: 0 });
    expect(describeTree(inside('world'))).toEqual(describeTree(tree));
    expect(describeTree(path.join(local, 'back'))).toEqual(describeTree(tree));
    expect(statSync(inside('world/d0/large')).mtime).toEqual(old);
    expect(statSync(path.join(local, 'back/d0/large')).mtime).toEqual(old);

    rmSync(path.join(tree, 'd1'), { recursive: true });
    cpSync(path.join(tree, 'd0', 'large'), path.join(tree, 'd0', 'larger'));
    const again = await lftp('mirror -R -v --delete tree world');
    expect(again, again.stderr).toMatchObject({ code: 0 });
    expect(again.stdout.match(/^Transferring file/gm), again.stdout).toEqual(['Transferring file']);
    expect(describeTree(inside('world'))).toEqual(describeTree(tree));
    const other = await lftp(
      'put -O / tree/d0/larger -o one',
      'mv one two',
      'chmod 600 two',
      'cat two',
      'ln -s two three',
      'rm two three',
      'rm -r world',
    );
    expect(other, other.stderr).toMatchObject({ code: 0 });
    expect(other.stdout.length).toBeGreaterThan(1_000_000);
    expect(readdirSync(inside())).toEqual([]);
    expect(readFileSync(path.join(tree, 'd0', 'larger')).length).toBe(7_000_003);
  });
});
