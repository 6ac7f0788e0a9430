import type { Database } from '../../../database/client.js';
import type { UserActor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { isUniqueViolation } from '../../../lib/database-errors.js';
import { AppError } from '../../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../../lib/schemas.js';
import { parseSshPublicKey } from '../../../lib/ssh-public-key.js';
import { lockOwnAccount } from '../account/account-lock.js';
import type { AddSshKeyBody, SshKeyView } from './ssh-key-schemas.js';

const KEYS_MAX = 50;

const COLUMNS = {
  id: true,
  name: true,
  type: true,
  publicKey: true,
  fingerprint: true,
  createdAt: true,
  lastUsedAt: true,
} as const;

/** Public keys that an account's owner signs in to SFTP with. */
export function createSshKeys({ database }: { database: Database }) {
  const { prisma } = database;

  async function list({ userId }: UserActor, page: PageQuery): Promise<Page<SshKeyView>> {
    const where = { userId };
    const [items, total] = await Promise.all([
      prisma.sshKey.findMany({
        where,
        orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
        ...pageRange(page),
        select: COLUMNS,
      }),
      prisma.sshKey.count({ where }),
    ]);
    return { items, total };
  }

  /** Throws `ssh_key.invalid`, `ssh_key.taken`, `ssh_key.too_many`. */
  async function add(actor: UserActor, { name, publicKey }: AddSshKeyBody): Promise<SshKeyView> {
    const { userId } = actor;
    const key = parseSshPublicKey(publicKey);
    return prisma
      .$transaction(async (transaction) => {
        await lockOwnAccount(transaction, actor);
        if ((await transaction.sshKey.count({ where: { userId } })) >= KEYS_MAX) {
          throw new AppError('ssh_key.too_many');
        }
        const added = await transaction.sshKey.create({ data: { userId, name, ...key }, select: COLUMNS });
        await recordAudit(transaction, actor, {
          action: 'ssh_key.add',
          resourceType: 'ssh_key',
          resourceId: added.id,
          metadata: { name, type: key.type, fingerprint: key.fingerprint },
        });
        return added;
      })
      .catch((error: unknown) => {
        throw isUniqueViolation(error, 'SshKey_fingerprint_key') ? new AppError('ssh_key.taken') : error;
      });
  }

  /** Throws `ssh_key.not_found`. */
  async function remove(actor: UserActor, sshKeyId: string): Promise<void> {
    const where = { id: sshKeyId, userId: actor.userId };
    await prisma.$transaction(async (transaction) => {
      const key = await transaction.sshKey.findFirst({ where, select: { name: true, fingerprint: true } });
      const { count } = await transaction.sshKey.deleteMany({ where });
      if (!key || count === 0) throw new AppError('ssh_key.not_found');
      await recordAudit(transaction, actor, {
        action: 'ssh_key.remove',
        resourceType: 'ssh_key',
        resourceId: sshKeyId,
        metadata: key,
      });
    });
  }

  return { list, add, remove };
}
