import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { Bench } from './harness/bench.js';
import { type FileStage, startFileStage } from './harness/file-stage.js';
import { median } from './harness/histogram.js';
import { watchMemory } from './harness/memory.js';
import {
  findProgram,
  makeKey,
  rclonePlace,
  runRclone,
  runSftp,
  type SftpLogin,
  startSshd,
} from './harness/openssh.js';
import { endedChildrenSeconds, processorSeconds } from './harness/processor-time.js';
import { type Finding, megabytes } from './harness/report.js';

const FILE_MB = 512;
const BYTES_PER_MB = 1024 * 1024;
const ROUNDS = 3;
const SESSIONS = 4;
const SMALL_FILES = 2000;
const SMALL_FILE_BYTES = 4096;
const RATIO_TARGET = 0.5;
const SESSIONS_TARGET = 1;
const GAME: [string, ...string[]] = ['/bin/sh', '-c', 'cat'];

/** A server that is measured: OpenSSH's, or the panel with its agent. */
interface Side {
  login: SftpLogin;
  /** Of all its processes, since they began. */
  processorSeconds(): number;
}

/** One way to move a lot of bytes. */
interface Task {
  name: string;
  megabytes: number;
  run(login: SftpLogin): Promise<void>;
}

interface Rate {
  mbPerSecond: number;
  /** Milliseconds of processor time for each megabyte. */
  serverMs: number;
  clientMs: number;
}

/** Files over SFTP, through panel and agent, against OpenSSH's own server on the same disk. */
export async function sftp(bench: Bench): Promise<Finding[]> {
  const sshdProgram = findProgram('sshd');
  if (!sshdProgram || !findProgram('sftp')) {
    bench.note('skipped: there is no OpenSSH (client and server) on this machine');
    return [];
  }
  const stage = await startFileStage(bench, GAME);
  const sshd = await startSshd(sshdProgram, bench.directory);
  bench.defer(() => sshd.stop());
  const bare: Side = {
    login: sshd.login,
    processorSeconds: () => processorSeconds(sshd.pid, { withEnded: true }),
  };
  const ours: Side = {
    login: await signUp(stage, bench.directory),
    processorSeconds: () => processorSeconds(stage.panel.pid) + processorSeconds(stage.agent.pid),
  };
  const local = path.join(bench.directory, 'local');
  mkdirSync(local);
  const findings = await compareLargeFiles(bench, { bare, ours, local, stage });
  if (findProgram('rclone')) findings.push(...(await compareSmallFiles(bench, { bare, ours, local })));
  else bench.note('small files skipped: there is no rclone on this machine');
  return findings;
}

async function signUp({ panel, server, sftpPort }: FileStage, directory: string): Promise<SftpLogin> {
  const { keyFile, publicLine } = makeKey(directory, 'key');
  await panel.api.send('POST', '/api/auth/ssh-keys', { name: 'bench', publicKey: publicLine });
  return { port: sftpPort, username: server.id, keyFile, directory: '/' };
}

interface Means {
  bare: Side;
  ours: Side;
  /** A directory for what the clients send and fetch. */
  local: string;
}

async function compareLargeFiles(bench: Bench, means: Means & { stage: FileStage }): Promise<Finding[]> {
  const { bare, ours, local, stage } = means;
  const file = path.join(local, 'large');
  writeFileSync(file, randomBytes(FILE_MB * BYTES_PER_MB));
  const names = Array.from({ length: SESSIONS }, (_, index) => `large-${index}`);
  const put = (name: string): Task => ({
    name: 'upload',
    megabytes: FILE_MB,
    run: (login) => runSftp(login, [`put ${file} ${path.posix.join(login.directory, name)}`]),
  });
  const get = (name: string): Task => ({
    name: 'download',
    megabytes: FILE_MB,
    run: (login) => runSftp(login, [`get ${path.posix.join(login.directory, name)} /dev/null`]),
  });
  // What is written the first time is written to new places: that is another question.
  for (const name of names) for (const side of [bare, ours]) await put(name).run(side.login);
  await checkContent(ours.login, file, path.join(local, 'fetched'));

  const findings: Finding[] = [];
  for (const task of [get, put]) {
    const memory = watchMemory(stage.panel.pid);
    const single = task('large-0');
    const together = allAtOnce(names.map(task));
    const [bareRates, ourRates, togetherRates]: Rate[][] = [[], [], []];
    for (let round = 1; round <= ROUNDS; round += 1) {
      bareRates?.push(await measure(bare, single));
      ourRates?.push(await measure(ours, single));
      togetherRates?.push(await measure(ours, together));
    }
    const [bareRate, ourRate, togetherRate] = [bareRates, ourRates, togetherRates].map((rates) =>
      medians(rates ?? []),
    );
    if (!bareRate || !ourRate || !togetherRate) continue;
    bench.note(`${single.name}: ${describe(ourRate)}; OpenSSH's ${describe(bareRate)}`);
    bench.note(
      `${SESSIONS} at once: ${describe(togetherRate)}; panel's memory up to ${megabytes(memory.stop())}`,
    );
    findings.push(
      {
        measure: `SFTP ${single.name} of ${FILE_MB} MB, OpenSSH's client, AES-GCM`,
        target: `≥ ${RATIO_TARGET} of OpenSSH's internal-sftp`,
        ...compared(ourRate.mbPerSecond, bareRate.mbPerSecond, 'MB/s', RATIO_TARGET),
      },
      {
        measure: `SFTP ${single.name}, ${SESSIONS} sessions at once, all together`,
        target: `≥ ${SESSIONS_TARGET.toFixed(1)} of one session`,
        ...compared(togetherRate.mbPerSecond, ourRate.mbPerSecond, 'MB/s', SESSIONS_TARGET),
      },
    );
  }
  return findings;
}

async function compareSmallFiles(bench: Bench, { bare, ours, local }: Means): Promise<Finding[]> {
  const tree = path.join(local, 'tree');
  mkdirSync(tree);
  const content = randomBytes(SMALL_FILE_BYTES);
  for (let index = 0; index < SMALL_FILES; index += 1)
    writeFileSync(path.join(tree, `file-${index}`), content);
  const findings: Finding[] = [];
  for (const name of ['upload', 'download']) {
    const rates: Record<'bare' | 'ours', Rate[]> = { bare: [], ours: [] };
    for (let round = 1; round <= ROUNDS; round += 1) {
      const task: Task = {
        name,
        megabytes: SMALL_FILES,
        async run(login) {
          const place = rclonePlace(login, `tree-${round}`);
          const fetched = path.join(local, 'fetched-tree');
          if (name === 'upload') return await runRclone(tree, place);
          await runRclone(place, fetched);
          rmSync(fetched, { recursive: true });
        },
      };
      rates.bare.push(await measure(bare, task));
      rates.ours.push(await measure(ours, task));
    }
    const [bareRate, ourRate] = [medians(rates.bare), medians(rates.ours)];
    bench.note(`each file: ${describe(ourRate, 'files/s')}; OpenSSH's ${describe(bareRate, 'files/s')}`);
    findings.push({
      measure: `SFTP ${name} of ${SMALL_FILES} files of ${SMALL_FILE_BYTES / 1024} KB by rclone`,
      target: `≥ ${RATIO_TARGET} of OpenSSH's internal-sftp`,
      ...compared(ourRate.mbPerSecond, bareRate.mbPerSecond, 'files/s', RATIO_TARGET),
    });
  }
  return findings;
}

function allAtOnce(tasks: Task[]): Task {
  return {
    name: `${tasks[0]?.name}s at once`,
    megabytes: tasks.reduce((sum, task) => sum + task.megabytes, 0),
    async run(login) {
      await Promise.all(tasks.map((task) => task.run(login)));
    },
  };
}

async function checkContent(login: SftpLogin, file: string, fetched: string): Promise<void> {
  await runSftp(login, [`get ${path.posix.join(login.directory, 'large-0')} ${fetched}`]);
  execFileSync('cmp', [file, fetched]);
  rmSync(fetched);
}

async function measure(side: Side, task: Task): Promise<Rate> {
  // What the one before has left to be written is not this one's.
  execFileSync('sync');
  const before = { server: side.processorSeconds(), client: endedChildrenSeconds() };
  const startedAt = performance.now();
  await task.run(side.login);
  const seconds = (performance.now() - startedAt) / 1000;
  const perMegabyte = (end: number, start: number) => ((end - start) * 1000) / task.megabytes;
  return {
    mbPerSecond: task.megabytes / seconds,
    serverMs: perMegabyte(side.processorSeconds(), before.server),
    clientMs: perMegabyte(endedChildrenSeconds(), before.client),
  };
}

function medians(rates: Rate[]): Rate {
  const of = (name: keyof Rate) => median(rates.map((rate) => rate[name]));
  return { mbPerSecond: of('mbPerSecond'), serverMs: of('serverMs'), clientMs: of('clientMs') };
}

function describe({ mbPerSecond, serverMs, clientMs }: Rate, unit = 'MB/s'): string {
  const each = unit.split('/')[0];
  return `${mbPerSecond.toFixed(0)} ${unit}, processor ${serverMs.toFixed(2)} + client ${clientMs.toFixed(2)} ms/${each}`;
}

function compared(ours: number, baseline: number, unit: string, target: number) {
  return {
    measured: `${ours.toFixed(0)} ${unit}`,
    baseline: `${baseline.toFixed(0)} ${unit}`,
    ratio: ours / baseline,
    isMet: ours / baseline >= target,
  };
}
