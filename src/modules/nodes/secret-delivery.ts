import type { Pool } from 'pg';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Secrets } from '../../lib/secrets.js';
import { createTurns } from '../../lib/turns.js';
import { CloseCode } from '../../protocol/limits.js';

/** To the agents of this panel. An agent is let in with a secret; this is what happens when that one is replaced. */
export interface SecretDelivery {
  /** Tells a node's agent or sends it away. Answers whether it is connected here and was told. */
  deliverSecret(nodeId: string): Promise<boolean>;
  /** The same for every agent here: their secrets may be replaced, and their nodes deleted, by another panel. */
  deliverSecrets(): Promise<void>;
}

const FIND_OUTDATED = `
  SELECT admitted."nodeId", n."secretEncrypted"
  FROM unnest($1::text[], $2::text[]) AS admitted("nodeId", "secretVersion")
  LEFT JOIN "Node" n ON n."id" = admitted."nodeId"
  WHERE n."secretEncrypted" IS DISTINCT FROM admitted."secretVersion"`;

export function createSecretDelivery(options: {
  pool: Pool;
  secrets: Secrets;
  agents: AgentGateway;
}): SecretDelivery {
  const { pool, secrets, agents } = options;
  /** One after the other, or an agent would be told a secret that was read before a newer one. */
  const turns = createTurns();

  async function deliver(connections: { nodeId: string; secretVersion: string }[]): Promise<Set<string>> {
    const told = new Set<string>();
    if (connections.length === 0) return told;
    const { rows } = await pool.query<{ nodeId: string; secretEncrypted: string | null }>({
      name: 'nodes-outdated-secrets',
      text: FIND_OUTDATED,
      values: [
        connections.map(({ nodeId }) => nodeId),
        connections.map(({ secretVersion }) => secretVersion),
      ],
    });
    for (const { nodeId, secretEncrypted } of rows) {
      if (secretEncrypted === null) {
        agents.connection(nodeId)?.close(CloseCode.unauthorized, 'The node was deleted.');
      } else {
        const current = { secret: secrets.open(secretEncrypted), secretVersion: secretEncrypted };
        if (agents.replaceSecret(nodeId, current)) told.add(nodeId);
      }
    }
    return told;
  }

  return {
    async deliverSecret(nodeId) {
      const told = await turns.take('all', () => {
        const connection = agents.connection(nodeId);
        return deliver(connection ? [connection] : []);
      });
      return told.has(nodeId);
    },
    async deliverSecrets() {
      await turns.take('all', () => deliver(agents.connections()));
    },
  };
}
