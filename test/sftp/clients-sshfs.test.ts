import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, onTestFinished, test, vi } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { describeClients, describeTree, run, sshSettings } from './clients.js';
import { addKey, type SftpStage, scratch, setSftpStage } from './harness.js';

let stage: SftpStage;
let privateText: string;

beforeAll(async () => {
  stage = await setSftpStage();
  privateText = (await addKey(stage, stage.owner)).privateText;
});

afterAll(() => stage.close());

/** sshfs lets programs go on before what they closed is closed at the server, too. */
const onDisk = <Found>(look: () => Found) => expect.poll(look, { timeout: SETTLE_MS });
const SETTLE_MS = 10_000;

const MOUNT = 'sshfs';
const UNMOUNT = 'fusermount3';

const isMounted = (directory: string) =>
  readFileSync('/proc/self/mounts', 'utf8').includes(` ${directory} fuse.sshfs `);

/**
 * A server's directory, mounted. This process serves what is mounted: it must not touch it itself, only by programs that
 * it starts, or it waits for itself.
 */
async function mount(...settings: string[]) {
  const server = await stage.makeServer();
  const directory = scratch();
  const local = scratch();
  const { options } = sshSettings({ port: stage.port, username: server.id, privateText });
  const words = [`port=${stage.port}`, ...options, ...settings].flatMap((option) => ['-o', option]);
  const sshfs = spawn(MOUNT, ['-f', `${server.id}@127.0.0.1:/`, directory, ...words], { stdio: 'pipe' });
  let said = '';
  sshfs.stderr.setEncoding('utf8').on('data', (text: string) => {
    said += text;
  });
  onTestFinished(() => unmount(sshfs, directory));
  await eventually('it is mounted', () => {
    if (sshfs.exitCode !== null) throw new Error(`sshfs could not mount: ${said}`);
    return isMounted(directory);
  });
  return {
    local,
    inside: (...names: string[]) => path.join(server.directory, ...names),
    /** In the mounted directory, with `$LOCAL` for another one; anything but success is an error. */
    async shell(script: string): Promise<string> {
      // Not entered between fork and exec, for which this process would stand still.
      const { code, stdout, stderr } = await run('sh', ['-euc', `cd "$MOUNTED"; ${script}`], {
        environment: { MOUNTED: directory, LOCAL: local },
      });
      if (code !== 0) throw new Error(`${script}\nended with ${code}: ${stderr}`);
      return stdout;
    },
  };
}

async function unmount(sshfs: ChildProcess, directory: string): Promise<void> {
  if (isMounted(directory)) await once(spawn(UNMOUNT, ['-u', '-z', directory]), 'exit');
  if (sshfs.exitCode !== null || sshfs.signalCode !== null) return;
  const ended = once(sshfs, 'exit');
  sshfs.kill();
  await ended;
}

/** Each step is a program, and each of its system calls a request. */
vi.setConfig({ testTimeout: 120_000 });

describeClients(['sshfs', 'rsync', 'fuse'], () => {
  test('rsync brings a tree to the mounted directory and back, and the second time nothing', async () => {
    const { local, shell, inside } = await mount();
    mkdirSync(path.join(local, 'tree/deep/ünïcode'), { recursive: true });
    for (let index = 0; index < 60; index += 1) {
      writeFileSync(path.join(local, `tree/deep/file ${index}`), String(index).repeat(index * 100));
    }
    await shell('rsync -a --no-owner --no-group $LOCAL/tree/ world/');
    await onDisk(() => describeTree(inside('world'))).toEqual(describeTree(path.join(local, 'tree')));
    const again = await shell('rsync -a --no-owner --no-group --itemize-changes $LOCAL/tree/ world/');
    expect(again).toBe('');
    await shell('printf changed > "$LOCAL/tree/deep/file 9"; rm "$LOCAL/tree/deep/file 10"');
    const third = await shell('rsync -rc --delete --itemize-changes $LOCAL/tree/ world/');
    expect(third.match(/^\*deleting/gm)).toHaveLength(1);
    expect(third.match(/^>f/gm)).toHaveLength(1);
    await shell('rsync -r --inplace --append-verify world/ $LOCAL/back/');
    expect(describeTree(path.join(local, 'back'))).toEqual(describeTree(inside('world')));
    expect(readdirSync(inside('world/deep')).filter((name) => name.startsWith('.'))).toEqual([]);
  });

  test('files are edited in place as in any directory', async () => {
    const { shell, inside } = await mount();
    await shell('printf "motd=hello\\nport=25565\\n" > server.properties');
    await shell('sed -i s/25565/25566/ server.properties');
    await onDisk(() => readFileSync(inside('server.properties'), 'utf8')).toBe('motd=hello\nport=25566\n');
    await shell('echo more >> server.properties');
    expect(await shell('cat server.properties')).toBe('motd=hello\nport=25566\nmore\n');
    await shell('printf "name=" | dd of=server.properties conv=notrunc status=none');
    await shell('printf HELLO | dd of=server.properties bs=1 seek=5 conv=notrunc status=none');
    await onDisk(() => readFileSync(inside('server.properties'), 'utf8')).toBe(
      'name=HELLO\nport=25566\nmore\n',
    );
    await shell('truncate -s 4 server.properties; truncate -s 6 server.properties');
    await onDisk(() => readFileSync(inside('server.properties'))).toEqual(Buffer.from('name\0\0'));
    await shell('dd if=/dev/urandom of=large bs=100k count=30 status=none conv=fsync');
    const [sum] = (await shell('sha256sum < large')).split(' ');
    await shell('cp large copy; mv copy moved; chmod 600 moved; touch -d @1000000000 moved');
    await onDisk(() =>
      createHash('sha256')
        .update(readFileSync(inside('moved')))
        .digest('hex'),
    ).toBe(sum);
    await onDisk(() => statSync(inside('moved')).mtimeMs).toBe(1e12);
    expect(statSync(inside('moved')).mode & 0o777).toBe(0o600);
  });

  test('what an editor and a shell do on top of that works', async () => {
    const { shell, inside } = await mount();
    await shell('mkdir -p a/b/c; touch a/b/c/file; echo old > target; echo new > other; mv -f other target');
    await onDisk(() => readFileSync(inside('target'), 'utf8')).toBe('new\n');
    expect((await shell('find . | sort')).split('\n')).toEqual([
      ...['.', './a', './a/b', './a/b/c', './a/b/c/file', './target', ''],
    ]);
    await shell('tar cf - a | (mkdir x; cd x; tar xf -); diff -r a x/a; cp -r a y; mv y/b z; rm -r a x y');
    await onDisk(() => describeTree(inside())).toEqual(['target bmV3Cg==', 'z/', 'z/c/', 'z/c/file ']);
    expect(await shell('ln -s z/c link; readlink link; ls link; cd link; cat file; cd ..; rm link')).toBe(
      'z/c\nfile\n',
    );
    await expect(shell('rmdir z')).rejects.toThrow(/rmdir/);
    await expect(shell('cat nothing')).rejects.toThrow(/No such file or directory/);
    await expect(shell('cat ../../../etc/passwd | head -c 0; cat z/../../etc/shadow')).rejects.toThrow(
      /ended/,
    );
    await shell('exec 3<> target; echo held >&3; rm target; exec 3>&-');
    await shell('rm -r z');
    await onDisk(() => describeTree(inside()).filter((line) => !line.startsWith('.fuse_hidden'))).toEqual([]);
  });
});
