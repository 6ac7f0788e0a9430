import type { Pool } from 'pg';
import type { Bus } from '../events.js';
import { findLostRights, type HeldRight } from '../lib/held-rights.js';
import type { Log } from '../lib/log.js';
import type { Caller } from './caller.js';
import type { Connection } from './connection.js';

/** Everybody is looked up in full this often, should anything ever be missed. */
const RECHECK_INTERVAL_MS = 30_000;

/** Ends the connections of those who may not stay, whose tokens have expired, and who do nothing. */
export function startWatch({
  bus,
  pool,
  log,
  connections,
  checkIntervalMs,
}: {
  bus: Bus;
  pool: Pool;
  log: Log;
  connections: ReadonlySet<Connection>;
  checkIntervalMs: number;
}): { stop(): Promise<void> } {
  let checking: Promise<void> | undefined;
  let recheckedAtMs = Date.now();

  function recheck(isConcerned: (connection: Connection) => boolean): Promise<unknown> {
    return Promise.all([...connections].filter(isConcerned).map((connection) => connection.recheck()));
  }

  async function check(): Promise<void> {
    const signedIn = [...connections].flatMap((connection) => {
      const caller = connection.caller();
      return caller ? [{ connection, caller }] : [];
    });
    const nowMs = Date.now();
    for (const connection of connections) connection.endIfOver(nowMs);
    if (nowMs - recheckedAtMs > RECHECK_INTERVAL_MS) {
      recheckedAtMs = nowMs;
      await recheck(() => true);
      return;
    }
    const lost = await findLostRights(
      pool,
      signedIn.map(({ caller }) => heldBy(caller)),
    );
    await Promise.all(lost.map(({ place }) => signedIn[place]?.connection.recheck()));
  }

  /** A round that takes long leaves out those that would have begun meanwhile. */
  const timer = setInterval(() => {
    checking ??= check()
      .catch((error: unknown) => log.warn({ err: error }, 'could not check who is connected by SFTP'))
      .finally(() => {
        checking = undefined;
      });
  }, checkIntervalMs);

  function recheckNow(isConcerned: (connection: Connection) => boolean): void {
    recheck(isConcerned).catch((error: unknown) =>
      log.warn({ err: error }, 'could not look up the rights of who is connected by SFTP'),
    );
  }

  function onCredentialRevoked(credentialId: string): void {
    for (const connection of connections) {
      if (connection.caller()?.credentialId === credentialId)
        connection.expel('What you signed in with has been revoked.');
    }
  }
  const onSession = ({ sessionId }: { sessionId: string }) => onCredentialRevoked(sessionId);
  const onApiKey = ({ apiKeyId }: { apiKeyId: string }) => onCredentialRevoked(apiKeyId);
  const onAccess = ({ userId, serverId }: { userId?: string; serverId?: string }) =>
    recheckNow((connection) => {
      const caller = connection.caller();
      const isHis = userId === undefined || caller?.userId === userId;
      return isHis && (serverId === undefined || caller?.serverId === serverId);
    });
  const onDeleted = ({ serverId }: { serverId: string }) => {
    for (const connection of connections) {
      if (connection.caller()?.serverId === serverId) connection.expel('The server was deleted.');
    }
  };
  bus.on('session.revoked', onSession);
  bus.on('apiKey.revoked', onApiKey);
  bus.on('access.changed', onAccess);
  bus.on('server.deleted', onDeleted);

  return {
    async stop() {
      clearInterval(timer);
      bus.off('session.revoked', onSession);
      bus.off('apiKey.revoked', onApiKey);
      bus.off('access.changed', onAccess);
      bus.off('server.deleted', onDeleted);
      await checking;
    },
  };
}

/** Who seems to have lost it is looked up in full: some may stay on a suspended server. */
function heldBy({ userId, credentialId, serverId }: Caller): HeldRight {
  const held = { userId, credentialId, serverId, permission: 'file.read' } as const;
  return { ...held, isDespiteSuspension: false, isWithoutSecondFactor: true };
}
