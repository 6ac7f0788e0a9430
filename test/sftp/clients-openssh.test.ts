import { randomBytes } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { eventually } from '../helpers/condition.js';
import { describeTree } from './clients.js';
import { addKey, runSftp, type SftpStage, scratch, setSftpStage } from './harness.js';

/** By when a transfer is over for who may not have it any more. */
const END_MS = 2000;
const LARGE_BYTES = 64 * 1024 * 1024;
/** 2 MB/s, in what OpenSSH's `-l` counts in: the transfer takes half a minute unless it is ended. */
const SLOWLY = ['-l', '16000'];

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
    login,
    local: scratch(),
    inside: (...names: string[]) => path.join(server.directory, ...names),
    sftp: (...commands: string[]) => runSftp(login, commands),
  };
}

function makeTree(directory: string): void {
  for (const name of ['plugins/deep/er', 'empty', 'with space', 'ünïcode']) {
    mkdirSync(path.join(directory, name), { recursive: true });
  }
  for (let index = 0; index < 40; index += 1) {
    writeFileSync(path.join(directory, `plugins/deep/file-${index}`), randomBytes(index * 997));
  }
  writeFileSync(path.join(directory, 'with space/a file [1] *'), 'odd name');
  writeFileSync(path.join(directory, 'ünïcode/日本語.txt'), 'text');
  writeFileSync(path.join(directory, 'plugins/deep/er/program'), '#!/bin/sh\n');
  chmodSync(path.join(directory, 'plugins/deep/er/program'), 0o755);
}

test('trees go up and come down again as they are, with times and modes', async () => {
  const { sftp, local, inside } = await setUp();
  const tree = path.join(local, 'tree');
  makeTree(tree);
  const old = new Date('2021-03-04T05:06:07Z');
  utimesSync(path.join(tree, 'plugins/deep/file-3'), old, old);
  const result = await sftp(`put -rp ${tree}`, `get -rp tree ${local}/back`);
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(describeTree(inside('tree'))).toEqual(describeTree(tree));
  expect(describeTree(path.join(local, 'back'))).toEqual(describeTree(tree));
  for (const copy of [inside('tree'), path.join(local, 'back')]) {
    expect(statSync(path.join(copy, 'plugins/deep/file-3')).mtime).toEqual(old);
    expect(statSync(path.join(copy, 'plugins/deep/er/program')).mode & 0o777).toBe(0o755);
  }
});

test('every command does what its manual says', async () => {
  const { sftp, local, inside, directory } = await setUp();
  writeFileSync(path.join(local, 'one'), 'first');
  writeFileSync(path.join(local, 'two'), 'second');
  const result = await sftp(
    'pwd',
    'mkdir config',
    'cd config',
    `lcd ${local}`,
    'put one',
    'put two "a name"',
    'rename "a name" one',
    'put one .hidden',
    'chmod 640 one',
    'ls -la',
    'get one three',
    'rm .hidden',
    'cd ..',
    'mkdir gone',
    'rmdir gone',
    'ls -1 config/*',
  );
  expect(result).toMatchObject({ code: 0, stderr: '' });
  expect(result.stdout).toContain('Remote working directory: /\n');
  expect(result.stdout).toMatch(/^-rw-r----- .* 6 .* one$/m);
  expect(result.stdout).toMatch(/^-rw\S+ .* 5 .* \.hidden$/m);
  expect(result.stdout).toMatch(/config\/one\s*$/);
  expect(readFileSync(path.join(local, 'three'), 'utf8')).toBe('second');
  expect(readFileSync(inside('config/one'), 'utf8')).toBe('second');
  expect(readdirSync(inside('config'))).toEqual(['one']);
  expect(readdirSync(directory)).toEqual(['config']);
});

test('what a client of version 3 can ask for beyond that is done or refused in words', async () => {
  const { sftp, inside, local } = await setUp();
  writeFileSync(path.join(local, 'file'), 'text');
  await sftp(`put ${local}/file file`);
  const { uid } = lstatSync(inside('file'));
  const space = await sftp('df -h');
  expect([space.code === 0, space.stderr]).toEqual([false, expect.stringMatching(/not support statvfs/)]);
  expect(await sftp('ln -s file link', `get link ${local}/got`)).toMatchObject({ code: 0, stderr: '' });
  expect(readlinkSync(inside('link'))).toBe('file');
  expect(readFileSync(path.join(local, 'got'), 'utf8')).toBe('text');
  expect((await sftp('ls -la')).stdout).toMatch(/^l.* link/m);
  const leadingOut = await sftp('ln -s /../../../etc/passwd out', `get out ${local}/out`);
  expect(leadingOut.code).not.toBe(0);
  expect(existsSync(path.join(local, 'out'))).toBe(false);
  expect((await sftp('ln file hard')).code).not.toBe(0);
  for (const [command, words] of [
    ['get nothing', /not found|No such file/],
    ['rm nothing', /No such file/],
    ['mkdir file', /Failure/],
    ['rmdir file', /Failure/],
    ['chown 0 file', null],
    ['chgrp 0 file', null],
  ] as const) {
    const { code, stderr } = await sftp(command);
    if (words === null) expect(code, command).toBe(0);
    else expect([code === 0, stderr], command).toEqual([false, expect.stringMatching(words)]);
  }
  expect(lstatSync(inside('file')).uid).toBe(uid);
});

test('what was cut off goes on where it ended, up and down', async () => {
  const { sftp, local, inside } = await setUp();
  const content = randomBytes(3_000_001);
  for (const [command, cut] of [
    ['reput', inside('there')],
    ['reget', path.join(local, 'here')],
  ] as const) {
    const [from, to] = command === 'reput' ? [`${local}/whole`, 'there'] : ['there', `${local}/here`];
    writeFileSync(path.join(local, 'whole'), content);
    writeFileSync(cut, content.subarray(0, 1_234_567), { mode: 0o666 });
    expect(await sftp(`${command} ${from} ${to}`)).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(cut).equals(content), command).toBe(true);
  }
});

test('odd sizes of requests and many of them at once change nothing', async () => {
  const { login, local, inside } = await setUp();
  const content = randomBytes(1_000_011);
  writeFileSync(path.join(local, 'up'), content);
  for (const [bytes, requests] of [
    [1000, 1],
    [32_769, 7],
    [261_120, 128],
    [100_000, 1024],
  ]) {
    const commands = [`put ${local}/up up`, `get up ${local}/down`];
    const options = ['-B', String(bytes), '-R', String(requests)];
    const asked = `${bytes} bytes, ${requests} requests`;
    expect(await runSftp(login, commands, options), asked).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(inside('up')).equals(content), asked).toBe(true);
    expect(readFileSync(path.join(local, 'down')).equals(content), asked).toBe(true);
  }
});

test('who loses his right in the middle of a download gets no more within two seconds, and is told', async () => {
  const { id, login, local, inside } = await setUp();
  const member = await stage.panel.createUser();
  const { serverAccess } = stage.panel.context.database.prisma;
  const access = { userId: member.id, serverId: id };
  await serverAccess.create({ data: { ...access, permissions: ['server.read', 'file.read'] } });
  writeFileSync(inside('large'), '');
  truncateSync(inside('large'), LARGE_BYTES);
  const his = { port: login.port, username: id, password: member.token };
  const transfer = runSftp(his, [`get large ${local}/got`], SLOWLY);
  const gotBytes = () => statSync(path.join(local, 'got'), { throwIfNoEntry: false })?.size ?? 0;
  await eventually('something has come', () => gotBytes() > 1_000_000);
  const startedAtMs = performance.now();
  await serverAccess.delete({ where: { userId_serverId: access } });
  const { code, stderr } = await transfer;
  expect(performance.now() - startedAtMs).toBeLessThan(END_MS);
  expect(code).not.toBe(0);
  expect(stderr).not.toBe('');
  expect(gotBytes()).toBeLessThan(LARGE_BYTES);
});
