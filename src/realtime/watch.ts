import type { WebSocket } from 'ws';
import { credentialId } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import { CloseCode } from '../protocol/limits.js';
import { findEndedCredentials } from './ended-credentials.js';
import { findUsersWithLostRights } from './lost-rights.js';
import type { Session } from './session.js';
import { createSlots } from './slots.js';
import type { ClientDoorContext } from './socket.js';

/** What has ended (a session, an account, a right) ends what came of it within two of these, whoever did it. */
const CHECK_INTERVAL_MS = 800;
/** After a look for rights that were taken away by another panel the database rests so many times as long. */
const REST_FACTOR = 10;
/** Everything is looked up again at once when we hear of a change, and this often in any case. */
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
  const checkSessions = oneAtATime(endRevoked, 'could not check the sessions of connected clients');
  const checkRights = oneAtATime(recheckLost, 'could not check the rights of connected clients');
  let restsUntilMs = 0;

  function endWhere(isEnded: (credential: string) => boolean): void {
    for (const session of sessions.values()) {
      const actor = session.actor();
      if (actor && isEnded(credentialId(actor))) {
        session.end(CloseCode.unauthorized, new AppError('auth.invalid_token', 'Your session has ended.'));
      }
    }
  }

  async function endRevoked(): Promise<void> {
    const actors = [...sessions.values()].flatMap((session) => session.actor() ?? []);
    const ended = await findEndedCredentials(database.pool, [...new Set(actors.map(credentialId))]);
    if (ended.size > 0) endWhere((credential) => ended.has(credential));
  }

  /** One statement for everybody; only those who seem to have lost something are looked at one by one. */
  async function recheckLost(): Promise<void> {
    const startedAtMs = performance.now();
    if (startedAtMs < restsUntilMs) return;
    const needed = [...sessions.values()].flatMap((session) => session.neededRights());
    const users = await findUsersWithLostRights(database.pool, needed);
    const endedAtMs = performance.now();
    restsUntilMs = endedAtMs + (endedAtMs - startedAtMs) * REST_FACTOR;
    // Heard by whoever believes in rights that were looked up a moment ago, too.
    for (const userId of users) bus.emit('access.changed', { userId });
  }

  /** A round that takes long leaves out those that would have begun meanwhile. */
  function oneAtATime(
    work: () => Promise<void>,
    problem: string,
  ): { start(): void; settled(): Promise<void> } {
    let running: Promise<void> | undefined;
    return {
      start() {
        running ??= work()
          .catch((error: unknown) => log.warn({ err: error }, problem))
          .finally(() => {
            running = undefined;
          });
      },
      settled: async () => running,
    };
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
    setInterval(() => {
      endStalled(Date.now());
      checkSessions.start();
      checkRights.start();
    }, CHECK_INTERVAL_MS),
    setInterval(ping, PING_INTERVAL_MS),
    setInterval(() => [...sessions.values()].forEach(recheck), RECHECK_INTERVAL_MS),
  ];
  bus.on('session.revoked', ({ sessionId }) => endWhere((id) => id === sessionId));
  bus.on('apiKey.revoked', ({ apiKeyId }) => endWhere((id) => id === apiKeyId));
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
      await Promise.all([checkSessions.settled(), checkRights.settled()]);
    },
  };
}
