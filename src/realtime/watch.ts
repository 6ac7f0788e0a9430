import type { WebSocket } from 'ws';
import { AppError } from '../lib/errors.js';
import { CloseCode } from '../protocol/limits.js';
import { findEndedSessions } from './ended-sessions.js';
import type { Session } from './session.js';
import { createSlots } from './slots.js';
import type { ClientDoorContext } from './socket.js';

/** A revoked session, a disabled or deleted account ends its connections within two of these, whoever did it. */
const CHECK_INTERVAL_MS = 800;
/** Rights are looked up again at once when we hear of a change, and this often in any case. */
const RECHECK_INTERVAL_MS = 60_000;
const RECHECKS_AT_ONCE = 4;
const PING_INTERVAL_MS = 30_000;
/** A client that says nothing for so long, not even to pings, is gone. More than a stalled one has, which is told why. */
const SILENT_MAX_MS = 95_000;

export interface Watch {
  add(webSocket: WebSocket): void;
  /** Waits for checks under way. */
  stop(): Promise<void>;
}

/** Ends the connections of those who may not stay, and of those who are not there any more. */
export function startWatch({
  context,
  sessions,
}: {
  context: ClientDoorContext;
  sessions: ReadonlyMap<WebSocket, Session>;
}): Watch {
  const { bus, database, log } = context;
  const heardAtMs = new WeakMap<WebSocket, number>();
  const inSlot = createSlots(RECHECKS_AT_ONCE);
  const stopping = new AbortController();
  let checking = Promise.resolve();
  let isChecking = false;

  function endWhere(isEnded: (sessionId: string) => boolean): void {
    for (const session of sessions.values()) {
      const sessionId = session.actor()?.sessionId;
      if (sessionId !== undefined && isEnded(sessionId)) {
        session.end(CloseCode.unauthorized, new AppError('auth.invalid_token', 'Your session has ended.'));
      }
    }
  }

  async function endRevoked(): Promise<void> {
    const ids = [...sessions.values()].flatMap((session) => session.actor()?.sessionId ?? []);
    const ended = await findEndedSessions(database.pool, [...new Set(ids)]);
    if (ended.size > 0) endWhere((sessionId) => ended.has(sessionId));
  }

  function check(): void {
    endStalled(Date.now());
    if (isChecking || sessions.size === 0) return;
    isChecking = true;
    checking = endRevoked()
      .catch((error: unknown) =>
        log.warn({ err: error }, 'could not check the sessions of connected clients'),
      )
      .finally(() => {
        isChecking = false;
      });
  }

  function endStalled(nowMs: number): void {
    for (const session of sessions.values()) {
      if (session.outlet.isOpen() && session.outlet.hasStalled(nowMs)) {
        session.announceMissed();
        session.end(CloseCode.tooSlow, new AppError('gateway.too_slow'));
      }
    }
  }

  function recheck(session: Session): void {
    inSlot(() => (stopping.signal.aborted ? Promise.resolve() : session.recheck())).catch((error: unknown) =>
      log.warn({ err: error }, 'could not look up the rights of a connected client'),
    );
  }

  function ping(): void {
    const oldestMs = Date.now() - SILENT_MAX_MS;
    for (const webSocket of sessions.keys()) {
      if ((heardAtMs.get(webSocket) ?? 0) < oldestMs) webSocket.terminate();
      else if (webSocket.readyState === webSocket.OPEN) webSocket.ping();
    }
  }

  const timers = [
    setInterval(check, CHECK_INTERVAL_MS),
    setInterval(ping, PING_INTERVAL_MS),
    setInterval(() => [...sessions.values()].forEach(recheck), RECHECK_INTERVAL_MS),
  ];
  bus.on('session.revoked', ({ sessionId }) => endWhere((id) => id === sessionId));
  bus.on('server.deleted', ({ serverId }) => {
    for (const session of sessions.values()) session.drop(serverId, 'server.deleted');
  });
  bus.on('access.changed', ({ userId, serverId }) => {
    for (const session of sessions.values()) {
      const isConcerned = userId === undefined || session.actor()?.userId === userId;
      if (isConcerned && (serverId === undefined || session.isWatching(serverId))) recheck(session);
    }
  });

  return {
    add(webSocket) {
      const hear = () => heardAtMs.set(webSocket, Date.now());
      hear();
      webSocket.on('message', hear);
      webSocket.on('pong', hear);
    },
    async stop() {
      stopping.abort();
      for (const timer of timers) clearInterval(timer);
      await checking;
    },
  };
}
