import type { Bus } from '../../events.js';
import type { Prisma } from '../../generated/prisma/client.js';
import type { Sessions } from '../auth/account/sessions.js';

/** What a user was signed in with. */
export interface EndedCredentials {
  userId: string;
  sessionIds: string[];
  apiKeyIds: string[];
  sshKeys: number;
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
     * @param keys API keys and SSH keys are removed for good, or kept: those of a disabled account work again when it
     * does.
     */
    async end(
      transaction: Prisma.TransactionClient,
      userId: string,
      { keys }: { keys: 'removed' | 'kept' },
    ): Promise<EndedCredentials> {
      const sessionIds = await sessions.end(transaction, userId);
      if (keys === 'kept') return { userId, sessionIds, apiKeyIds: [], sshKeys: 0 };
      const apiKeys = await transaction.apiKey.findMany({ where: { userId }, select: { id: true } });
      const apiKeyIds = apiKeys.map(({ id }) => id);
      await transaction.apiKey.deleteMany({ where: { id: { in: apiKeyIds } } });
      const { count: sshKeys } = await transaction.sshKey.deleteMany({ where: { userId } });
      return { userId, sessionIds, apiKeyIds, sshKeys };
    },

    /** After the commit: whoever keeps a connection open, or remembers who holds a token, hears of it here. */
    announceEnded({ userId, sessionIds, apiKeyIds }: EndedCredentials): void {
      sessions.publishEnded(userId, sessionIds);
      for (const apiKeyId of apiKeyIds) bus.emit('apiKey.revoked', { apiKeyId, userId });
      bus.emit('access.changed', { userId });
    },
  };
}
