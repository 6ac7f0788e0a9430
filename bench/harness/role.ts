import { fork } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';

const RUN = path.resolve(import.meta.dirname, '../../scripts/run.mjs');
const MAIN = path.resolve(import.meta.dirname, '../main.ts');
/** Names the part that this process plays; unset in the process that was started by the user. */
const ROLE_VARIABLE = 'CATALYST_BENCH_ROLE';
const STOP_TIMEOUT_MS = 5000;

/** What a part can be asked: each method takes one value or none and may answer later. */
type Methods<Role> = { [Name in keyof Role]: (input: never) => unknown };

interface Request {
  id: number;
  method: string;
  input: unknown;
}

interface Answer {
  id: number;
  output?: unknown;
  error?: string;
}

export interface RoleProcess<Role extends Methods<Role>> {
  readonly pid: number;
  call<Name extends keyof Role & string>(
    method: Name,
    ...input: Parameters<Role[Name]>
  ): Promise<Awaited<ReturnType<Role[Name]>>>;
  stop(): Promise<void>;
}

/** Starts this same program again as a child process that plays `role`, so that its work has its own core. */
export function startRole<Role extends Methods<Role>>(role: string): RoleProcess<Role> {
  const child = fork(RUN, [MAIN], {
    env: { ...process.env, [ROLE_VARIABLE]: role },
    serialization: 'advanced',
  });
  const waiting = new Map<number, { resolve: (output: never) => void; reject: (error: Error) => void }>();
  let lastId = 0;
  child.on('message', (message) => {
    const { id, output, error } = message as Answer;
    const request = waiting.get(id);
    waiting.delete(id);
    if (error !== undefined) request?.reject(new Error(`${role}: ${error}`));
    else request?.resolve(output as never);
  });
  const exited = once(child, 'exit').then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`The ${role} process has ended.`));
    waiting.clear();
  });
  return {
    pid: child.pid ?? 0,
    call(method, ...input) {
      lastId += 1;
      const request: Request = { id: lastId, method, input: input[0] };
      return new Promise((resolve, reject) => {
        waiting.set(request.id, { resolve, reject });
        child.send(request, (error) => error && reject(error));
      });
    },
    async stop() {
      child.kill('SIGTERM');
      const timer = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
      await exited;
      clearTimeout(timer);
    },
  };
}

/** The part this process was started to play; undefined in the process that runs the questions. */
export function currentRole(): string | undefined {
  return process.env[ROLE_VARIABLE];
}

/** Answers the parent's requests until it goes away. */
export function serveRole<Role extends Methods<Role>>(role: Role): void {
  const methods = new Map<string, (input: never) => unknown>(Object.entries(role));
  process.on('disconnect', () => process.exit(0));
  process.on('message', (message) => {
    const { id, method, input } = message as Request;
    answer(methods.get(method), input)
      .then((output): Answer => ({ id, output }))
      .catch(
        (error: unknown): Answer => ({ id, error: error instanceof Error ? error.message : String(error) }),
      )
      .then((reply) => process.send?.(reply))
      // The parent is gone: so are we, at "disconnect".
      .catch(() => {});
  });
}

async function answer(method: ((input: never) => unknown) | undefined, input: unknown): Promise<unknown> {
  if (!method) throw new Error('There is no such method.');
  return await method(input as never);
}
