import type { Database } from '../../../database/client.js';
import type { Bus } from '../../../events.js';
import type { UserActor } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../../lib/schemas.js';
import { hashToken } from '../../../lib/secrets.js';
import { lockOwnAccount } from '../account/account-lock.js';
import type { ApiKeyView, CreateApiKeyBody, CreatedApiKey } from './api-key-schemas.js';
import { type ApiKeyTokens, shownPrefix } from './api-key-tokens.js';

const KEYS_MAX = 50;

const COLUMNS = {
  id: true,
  name: true,
  prefix: true,
  permissions: true,
  createdAt: true,
  expiresAt: true,
  lastUsedAt: true,
  lastUsedIp: true,
} as const;

export interface ApiKeysOptions {
  database: Database;
  bus: Bus;
  tokens: ApiKeyTokens;
}

/** What programs sign in with. Everybody manages his own. */
export function createApiKeys({ database, bus, tokens }: ApiKeysOptions) {
  const { prisma } = database;

  async function list({ userId }: UserActor, page: PageQuery): Promise<Page<ApiKeyView>> {
    const where = { userId };
    const [items, total] = await Promise.all([
      prisma.apiKey.findMany({
        where,
        orderBy: [{ createdAt: 'desc' }, { id: 'asc' }],
        ...pageRange(page),
        select: COLUMNS,
      }),
      prisma.apiKey.count({ where }),
    ]);
    return { items, total };
  }

  /** The key itself is told here and never again. Throws `api_key.too_many`. */
  async function create(actor: UserActor, input: CreateApiKeyBody): Promise<CreatedApiKey> {
    const { userId } = actor;
    const { name, permissions, expiresAt } = input;
    const key = tokens.create();
    const created = await prisma.$transaction(async (transaction) => {
      await lockOwnAccount(transaction, actor);
      if ((await transaction.apiKey.count({ where: { userId } })) >= KEYS_MAX) {
        throw new AppError('api_key.too_many');
      }
      const {
        lastUsedAt: _at,
        lastUsedIp: _ip,
        ...shown
      } = await transaction.apiKey.create({
        data: { userId, name, permissions, expiresAt, prefix: shownPrefix(key), tokenHash: hashToken(key) },
        select: COLUMNS,
      });
      await recordAudit(transaction, actor, {
        action: 'api_key.create',
        resourceType: 'api_key',
        resourceId: shown.id,
        metadata: { name, prefix: shown.prefix, permissions, expiresAt },
      });
      return shown;
    });
    return { ...created, key };
  }

  /** Throws `api_key.not_found`. */
  async function revoke(actor: UserActor, apiKeyId: string): Promise<void> {
    const { userId } = actor;
    await prisma.$transaction(async (transaction) => {
      const where = { id: apiKeyId, userId };
      const revoked = await transaction.apiKey.findFirst({ where, select: { name: true, prefix: true } });
      const { count } = await transaction.apiKey.deleteMany({ where });
      if (!revoked || count === 0) throw new AppError('api_key.not_found');
      await recordAudit(transaction, actor, {
        action: 'api_key.revoke',
        resourceType: 'api_key',
        resourceId: apiKeyId,
        metadata: revoked,
      });
    });
    bus.emit('apiKey.revoked', { apiKeyId, userId });
  }

  return { list, create, revoke };
}
