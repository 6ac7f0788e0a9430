import type { PoolClient } from 'pg';
import type { Actor } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import { inTransaction } from '../../lib/transaction.js';
import { HostFailure, reasonOf } from './failure.js';
import { randomPassword } from './names.js';
import type { Database } from './schemas.js';
import type { DatabaseDependencies } from './service.js';
import type { HostSession } from './session.js';
import { accountOf, auditOf, loadReady, presentDatabase, type StoredDatabase, settingsOf } from './stored.js';

export interface DatabaseRotation {
  /**
   * A new password; the old one, and whoever is connected with it, is out at once. If that fails, the stored password
   * is set again; should even that not be possible, or the panel be killed between the two, rotating once more helps.
   */
  rotate(actor: Actor, serverId: string, databaseId: string): Promise<Database>;
}

interface Change {
  actor: Actor;
  stored: StoredDatabase;
  password: string;
  /** Called when the host is about to be told. */
  begin(): void;
}

interface LockedRow {
  passwordEncrypted: string;
  serverName: string;
}

const LOCK = `
  SELECT d."passwordEncrypted", s."name" AS "serverName"
  FROM "ServerDatabase" d JOIN "Server" s ON s."id" = d."serverId"
  WHERE d."id" = $1 AND d."state" = 'ready' FOR NO KEY UPDATE OF d`;

export function createDatabaseRotation({
  prisma,
  pool,
  secrets,
  connections,
  access,
  answering,
  log,
}: DatabaseDependencies): DatabaseRotation {
  /** Under the lock of the row, which makes the last password that is set the one that is stored. */
  async function change(session: HostSession, { actor, stored, password, begin }: Change): Promise<void> {
    const { id, serverId } = stored;
    await inTransaction(pool, async (client) => {
      const { serverName } = await lock(client, id);
      begin();
      await session.setPassword({ ...accountOf(stored, secrets), password });
      await client.query('UPDATE "ServerDatabase" SET "passwordEncrypted" = $2 WHERE "id" = $1', [
        id,
        secrets.seal(password),
      ]);
      const about = { ...auditOf(stored, serverName), ...(serverId !== null && { serverId }) };
      await recordAudit(client, actor, { action: 'database.rotate', ...about });
    });
  }

  async function setStoredAgain(stored: StoredDatabase): Promise<void> {
    await connections.use(settingsOf(stored.host, secrets), (session) =>
      inTransaction(pool, async (client) => {
        const { passwordEncrypted } = await lock(client, stored.id);
        await session.setPassword(accountOf({ ...stored, passwordEncrypted }, secrets));
      }),
    );
  }

  return {
    async rotate(actor, serverId, databaseId) {
      await access.authorise(actor, serverId, 'database.rotate');
      const stored = await loadReady(prisma, { serverId, databaseId });
      const password = randomPassword();
      let isBegun = false;
      return answering(stored.hostId, async () => {
        try {
          const begin = () => {
            isBegun = true;
          };
          await connections.use(settingsOf(stored.host, secrets), (session) =>
            change(session, { actor, stored, password, begin }),
          );
        } catch (error) {
          if (!isBegun) throw error;
          await setStoredAgain(stored).catch((second: unknown) => {
            log.error(
              { databaseId, hostId: stored.hostId, reason: reasonOf(second) },
              'a password is in doubt',
            );
            throw inDoubt(error);
          });
          throw error;
        }
        return presentDatabase(stored, password);
      });
    },
  };
}

async function lock(client: PoolClient, id: string): Promise<LockedRow> {
  const { rows } = await client.query<LockedRow>(LOCK, [id]);
  if (!rows[0]) throw new AppError('database.not_found');
  return rows[0];
}

function inDoubt(cause: unknown): AppError {
  const message =
    'The database host stopped answering while the password was being changed, so the old one may not work any more. ' +
    'Rotate it again when the host is back.';
  return new AppError('database_host.unavailable', message, {
    ...(cause instanceof HostFailure && { cause }),
  });
}
