import type { Bus } from '../../events.js';
import type { Prisma } from '../../generated/prisma/client.js';
import type { Sessions } from '../auth/account/sessions.js';

/** What a user was signed in with. */
export interface EndedCredentials {
  userId: string;
  sessionIds: string[];
  apiKeyIds: string[];
}

export type Credentials = ReturnType<typeof createCredentials>;

/** What other people's accounts are used with, and how that ends. */
export function createCredentials({
  sessions,
  bus,
}: {
  sessions: Pick<Sessions, 'end' | 'publishEnded'>;
  bus: Bus;
}) {
  return {
    /**
     * As part of the transaction that is the reason, after its change.
     * @param apiKeys Revoked for good, or kept: those of a disabled account work again when it does.
     */
    async end(
      transaction: Prisma.TransactionClient,
      userId: string,
      { apiKeys }: { apiKeys: 'revoked' | 'kept' },
    ): Promise<EndedCredentials> {
      const sessionIds = await sessions.end(transaction, userId);
      if (apiKeys === 'kept') return { userId, sessionIds, apiKeyIds: [] };
      const keys = await transaction.apiKey.findMany({ where: { userId }, select: { id: true } });
      const apiKeyIds = keys.map(({ id }) => id);
      await transaction.apiKey.deleteMany({ where: { id: { in: apiKeyIds } } });
      return { userId, sessionIds, apiKeyIds };
    },

    /** After the commit: whoever keeps a connection open, or remembers who holds a token, hears of it here. */
    announceEnded({ userId, sessionIds, apiKeyIds }: EndedCredentials): void {
      sessions.publishEnded(userId, sessionIds);
      for (const apiKeyId of apiKeyIds) bus.emit('apiKey.revoked', { apiKeyId, userId });
      bus.emit('access.changed', { userId });
    },
  };
}
