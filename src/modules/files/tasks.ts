import { randomUUID } from 'node:crypto';
import type { Bus } from '../../events.js';
import type { Actor } from '../../lib/actor.js';
import { asAppError } from '../../lib/as-app-error.js';
import { AppError } from '../../lib/errors.js';
import type { Log } from '../../lib/log.js';
import type { FileTask } from '../../protocol/client-messages.js';
import type { WorkProgress } from '../../protocol/file-works.js';
import type { AccessibleServer } from '../servers/access.js';
import { announceSparingly } from './announcing.js';
import type { RecordFileChange } from './audit.js';
import type { FileRight, FileTargets } from './targets.js';
import type { Watch } from './watch.js';

const RUNNING_PER_SERVER_MAX = 8;
const ENDED_PER_SERVER_MAX = 32;
const ENDED_MAX = 10_000;
const ENDED_KEPT_MS = 10 * 60_000;

export type TaskResult = NonNullable<FileTask['result']>;

/** A task that somebody has started. */
export interface StartedTask {
  view(): FileTask;
  /** Rejects with why it failed, or was cancelled. */
  readonly outcome: Promise<TaskResult>;
  cancel(): void;
}

export interface TaskRequest {
  actor: Actor;
  server: AccessibleServer;
  kind: FileTask['kind'];
  /** The task ends when the actor loses one of them. */
  rights: readonly FileRight[];
  work(options: { signal: AbortSignal; onProgress: (progress: WorkProgress) => void }): Promise<TaskResult>;
}

/** What takes long. Known only to this panel, for as long as it runs. */
export interface Tasks {
  /** Throws `file_task.too_many`. */
  start(request: TaskRequest): StartedTask;
  /** Those that run and those that ended a while ago, the newest first. */
  listTasks(actor: Actor, serverId: string): Promise<FileTask[]>;
  findTask(actor: Actor, serverId: string, taskId: string): Promise<FileTask>;
  /** Anybody who may write the files of the server may do so. One that has ended is left as it is. */
  cancelTask(actor: Actor, serverId: string, taskId: string): Promise<FileTask>;
  /** Cancels everything that runs, and takes nothing new. */
  stopTasks(): void;
}

interface Task {
  view: FileTask;
  endedAtMs: number | null;
  cancelling: AbortController;
  /** Resolves when it has ended, however. */
  settled: Promise<unknown>;
}

export function createTasks(options: {
  targets: FileTargets;
  watch: Watch;
  bus: Bus;
  log: Log;
  record: RecordFileChange;
}): Tasks {
  const { targets, watch, bus, log, record } = options;
  const tasks = new Map<string, Task>();
  let isStopping = false;

  const tasksOf = (serverId: string) => [...tasks.values()].filter(({ view }) => view.serverId === serverId);

  function forgetOld(serverId: string): void {
    const oldestMs = Date.now() - ENDED_KEPT_MS;
    const ended = [...tasks.values()].filter(({ endedAtMs }) => endedAtMs !== null);
    const endedHere = ended.filter(({ view }) => view.serverId === serverId);
    const tooMany = [
      ...endedHere.slice(0, Math.max(0, endedHere.length - ENDED_PER_SERVER_MAX)),
      ...ended.slice(0, Math.max(0, ended.length - ENDED_MAX)),
    ];
    const tooOld = ended.filter(({ endedAtMs }) => (endedAtMs ?? 0) < oldestMs);
    for (const { view } of [...tooMany, ...tooOld]) tasks.delete(view.taskId);
  }

  function find(serverId: string, taskId: string): Task {
    forgetOld(serverId);
    const task = tasks.get(taskId);
    if (task?.view.serverId !== serverId) throw new AppError('file_task.not_found');
    return task;
  }

  async function run(task: Task, request: TaskRequest): Promise<TaskResult> {
    const { cancelling, view } = task;
    const hold = watch.hold(request);
    hold.signal.addEventListener('abort', () => cancelling.abort(hold.signal.reason));
    const announcing = announceSparingly(() => bus.emit('server.fileTaskChanged', { ...view }));
    try {
      view.result = await request.work({
        signal: cancelling.signal,
        onProgress(progress) {
          view.progress = progress;
          announcing.changed();
        },
      });
      view.state = 'done';
      return view.result;
    } catch (error) {
      const { code, message, statusCode } = asAppError(error);
      if (statusCode === 500) log.error({ err: error, serverId: view.serverId }, 'a file task failed');
      view.error = { code, message };
      view.state = cancelling.signal.aborted ? 'cancelled' : 'failed';
      throw error;
    } finally {
      hold.release();
      task.endedAtMs = Date.now();
      view.endedAt = new Date(task.endedAtMs).toISOString();
      announcing.ended();
    }
  }

  return {
    start(request) {
      const { actor, server, kind } = request;
      if (isStopping) throw new AppError('panel.stopping');
      forgetOld(server.id);
      const running = tasksOf(server.id).filter(({ view }) => view.state === 'running');
      if (running.length >= RUNNING_PER_SERVER_MAX) throw new AppError('file_task.too_many');
      const view = newTask(actor, server, kind);
      const cancelling = new AbortController();
      const task: Task = { view, endedAtMs: null, cancelling, settled: Promise.resolve() };
      tasks.set(view.taskId, task);
      const outcome = run(task, request);
      // Whoever waits for it is told; nobody may be waiting.
      task.settled = outcome.catch(() => {});
      return { view: () => ({ ...view }), outcome, cancel: () => cancel(task) };
    },

    async listTasks(actor, serverId) {
      await targets.toRead(actor, serverId);
      forgetOld(serverId);
      return tasksOf(serverId)
        .map(({ view }) => view)
        .reverse();
    },

    async findTask(actor, serverId, taskId) {
      await targets.toRead(actor, serverId);
      return find(serverId, taskId).view;
    },

    async cancelTask(actor, serverId, taskId) {
      const { server } = await targets.toChange(actor, serverId, 'file.write');
      const task = find(serverId, taskId);
      if (task.view.state !== 'running') return task.view;
      cancel(task);
      await task.settled;
      await record(actor, server, 'file.task_cancel', { taskId, kind: task.view.kind });
      return task.view;
    },

    stopTasks() {
      isStopping = true;
      for (const task of tasks.values()) cancel(task, new AppError('panel.stopping'));
    },
  };
}

function cancel({ cancelling }: Task, reason = new AppError('file_task.cancelled')): void {
  cancelling.abort(reason);
}

function newTask(actor: Actor, server: AccessibleServer, kind: FileTask['kind']): FileTask {
  return {
    taskId: randomUUID(),
    serverId: server.id,
    kind,
    state: 'running',
    progress: { doneBytes: 0, totalBytes: null, doneEntries: 0 },
    startedBy: actor.kind === 'user' ? { userId: actor.userId, username: actor.username } : null,
    startedAt: new Date().toISOString(),
    endedAt: null,
    result: null,
    error: null,
  };
}
