import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { FilePlane } from '../gateway/files.js';
import { recordAudit } from '../lib/audit.js';
import type { Log } from '../lib/log.js';
import type { Caller } from './caller.js';
import { type Batch, type ChangeKind, describeBatch, joined, shownPath } from './change-batches.js';

/** So many are recorded at once, without waiting for more. */
const CHANGES_AT_ONCE = 1000;
/** At the end of a session, what cannot be recorded is tried so often and then only in the panel's own log. */
const LAST_TRIES_MAX = 5;
/** The console of a node that does not answer is done without. */
const NOTE_TIMEOUT_MS = 10_000;

export interface ChangesOptions {
  pool: Pool;
  files: FilePlane;
  log: Log;
  caller: Caller;
  recordAfterMs: number;
  recordAgainMs: number;
}

/** What one session changes, for the audit log and the server's console. */
export interface Changes {
  /** Nobody waits for it to be recorded. @param more `to`: the new name of what is renamed. */
  add(kind: ChangeKind, path: string, more?: { bytes?: number; to?: string }): void;
  /** Resolves when everything is recorded, or given up and logged. Never rejects. */
  end(): Promise<void>;
}

export function collectChanges({
  pool,
  files,
  log,
  caller,
  recordAfterMs,
  recordAgainMs,
}: ChangesOptions): Changes {
  /** At most one for each kind, whatever cannot be recorded. */
  let waiting = new Map<ChangeKind, Batch>();
  let waitingCount = 0;
  let timer: NodeJS.Timeout | undefined;
  let recording: Promise<void> | undefined;

  function put(kind: ChangeKind, batch: Batch): void {
    waiting.set(kind, joined(waiting.get(kind), batch));
    waitingCount += batch.count;
  }

  function schedule(afterMs: number): void {
    timer ??= setTimeout(record, afterMs);
  }

  function record(): void {
    clearTimeout(timer);
    timer = undefined;
    if (recording || waiting.size === 0) return;
    recording = recordAll().finally(() => {
      recording = undefined;
      if (waiting.size > 0) schedule(recordAgainMs);
    });
  }

  async function recordAll(): Promise<void> {
    const batches = waiting;
    waiting = new Map();
    waitingCount = 0;
    const recorded: [ChangeKind, Batch][] = [];
    for (const [kind, batch] of batches) {
      try {
        await recordBatch(kind, batch);
        recorded.push([kind, batch]);
      } catch (error) {
        log.warn({ serverId: caller.serverId, err: error }, 'changes of files by SFTP could not be recorded');
        const since = waiting.get(kind);
        waiting.set(kind, since ? joined(batch, since) : batch);
      }
    }
    // Afterwards: a node that is away is waited for.
    for (const [kind, batch] of recorded) await tellConsole(kind, batch);
  }

  async function recordBatch(kind: ChangeKind, { count, paths, bytes }: Batch): Promise<void> {
    const isUnconfirmed = kind === 'unconfirmed-upload';
    const isUpload = isUnconfirmed || kind === 'upload';
    await recordAudit(pool, caller.actor, {
      action: isUpload ? 'sftp.upload' : `sftp.${kind}`,
      resourceType: 'server',
      resourceId: caller.serverId,
      serverId: caller.serverId,
      metadata: { count, paths, ...(isUpload && { bytes }), ...(isUnconfirmed && { isConfirmed: false }) },
    });
  }

  async function tellConsole(kind: ChangeKind, batch: Batch): Promise<void> {
    const place = caller.place();
    if (!place) return;
    const text = describeBatch(caller.actor.username, kind, batch);
    try {
      const signal = AbortSignal.timeout(NOTE_TIMEOUT_MS);
      await files.operate(place.nodeId, place.uuid, 'note', { text }, { signal });
    } catch (error) {
      log.debug({ serverId: caller.serverId, err: error }, 'a console was not told of changes by SFTP');
    }
  }

  async function end(): Promise<void> {
    for (let tries = 0; tries < LAST_TRIES_MAX; tries += 1) {
      await recording;
      if (waiting.size === 0) break;
      if (tries > 0) await delay(recordAgainMs);
      record();
      await recording;
    }
    clearTimeout(timer);
    for (const [kind, { count, paths }] of waiting) {
      log.error({ serverId: caller.serverId, userId: caller.userId, kind, count, paths }, 'changes are lost');
    }
    waiting.clear();
  }

  return {
    add(kind, path, { bytes = 0, to } = {}) {
      const shown = to === undefined ? shownPath(path) : `${shownPath(path)} → ${shownPath(to)}`;
      put(kind, { count: 1, paths: [shown], bytes });
      if (waitingCount >= CHANGES_AT_ONCE) record();
      else schedule(recordAfterMs);
    },
    end,
  };
}
