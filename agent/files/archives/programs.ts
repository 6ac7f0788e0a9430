import { type ChildProcess, spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';

const COMPLAINT_MAX_CHARACTERS = 1000;
const USUAL_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The first of these programs that this machine has; looked for anew each time, for it may be installed any day. */
export async function findProgram(...names: string[]): Promise<string | null> {
  for (const name of names) {
    for (const directory of searchPath()
      .split(':')
      .filter((part) => part.startsWith('/'))) {
      const file = join(directory, name);
      if (await isExecutable(file)) return file;
    }
  }
  return null;
}

function searchPath(): string {
  return process.env.PATH ?? USUAL_PATH;
}

async function isExecutable(file: string): Promise<boolean> {
  try {
    await access(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** What is broken off in it is no error once it has been destroyed. */
export interface Output extends AsyncIterable<Buffer> {
  readonly destroyed: boolean;
}

/** A process that turns bytes into others. */
export interface Filter {
  /** Null: it reads from a file by itself. */
  input: Writable | null;
  /** Null: it writes to a file by itself. */
  output: Output | null;
  /** When it is gone, and everything that it wrote has been read or dropped. */
  ended: Promise<{ isGood: boolean; complaint: string }>;
  kill(): void;
}

/** Descriptors of files, from where they are; null: bytes that we give and take. */
interface Ends {
  input: number | null;
  output: number | null;
}

/** Game servers come first: it gets what they leave of processor and disk. */
export async function startFilter(words: string[], { input, output }: Ends): Promise<Filter> {
  const [nice, ionice] = [await findProgram('nice'), await findProgram('ionice')];
  const [program = '', ...rest] = [
    ...(nice === null ? [] : [nice, '-n', '19']),
    ...(ionice === null ? [] : [ionice, '-c', '3']),
    ...words,
  ];
  const child: ChildProcess = spawn(program, rest, {
    stdio: [input ?? 'pipe', output ?? 'pipe', 'pipe'],
    env: { PATH: searchPath() },
    cwd: '/',
  });
  const { stdin, stdout, stderr } = child;
  // What went wrong with it is told by how it ends.
  stdin?.on('error', () => {});
  let complaint = '';
  stderr?.setEncoding('utf8').on('data', (text: string) => {
    complaint = (complaint + text).slice(0, COMPLAINT_MAX_CHARACTERS);
  });
  const ended = new Promise<{ isGood: boolean; complaint: string }>((resolve) => {
    child.once('error', (error) => {
      complaint ||= error.message;
    });
    child.once('close', (code) => resolve({ isGood: code === 0, complaint }));
  });
  return {
    input: stdin,
    output: stdout,
    ended,
    kill() {
      child.kill('SIGKILL');
      // Nobody reads any more; what is left in the pipe would keep it open.
      stdout?.destroy();
    },
  };
}
