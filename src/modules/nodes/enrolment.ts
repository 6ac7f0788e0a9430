import type { Database } from '../../database/client.js';
import type { Origin } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { hashToken, isSameSecret, type Secrets } from '../../lib/secrets.js';

/** How an agent proved that it is the node's. */
export type AgentCredential =
  | { kind: 'secret'; secretVersion: string }
  | { kind: 'deployment-token'; tokenId: string };

/** The secret of a node, and by what it is told apart from those before and after it. */
export interface NodeSecret {
  secret: string;
  secretVersion: string;
}

/** What agents prove their node with: its secret until it is replaced, a deployment token once. */
export function createEnrolment({ database, secrets }: { database: Database; secrets: Secrets }) {
  const { prisma } = database;

  /** Every sealing of a secret is unlike any other, so it is a version. */
  function open(secretEncrypted: string): NodeSecret {
    return { secret: secrets.open(secretEncrypted), secretVersion: secretEncrypted };
  }

  /** A token that may still be exchanged, and its node. */
  async function findToken(token: string) {
    return prisma.deploymentToken.findFirst({
      where: { tokenHash: hashToken(token), usedAt: null, expiresAt: { gt: new Date() } },
      select: { id: true, node: { select: { id: true, name: true } } },
    });
  }

  return {
    /** The node that a deployment token is for, without using the token up; null when it is not valid. */
    async findDeployment(token: string): Promise<{ nodeId: string; nodeName: string } | null> {
      const found = await findToken(token);
      return found && { nodeId: found.node.id, nodeName: found.node.name };
    },

    /** For the panel's own agent; null when there is no such node. */
    async readSecret(nodeId: string): Promise<string | null> {
      const node = await prisma.node.findUnique({ where: { id: nodeId }, select: { secretEncrypted: true } });
      return node && open(node.secretEncrypted).secret;
    },

    async authenticateAgent(proof: { nodeId: string; token: string }): Promise<AgentCredential | null> {
      const node = await prisma.node.findUnique({
        where: { id: proof.nodeId },
        select: { secretEncrypted: true },
      });
      if (!node) return null;
      const { secret, secretVersion } = open(node.secretEncrypted);
      if (isSameSecret(secret, proof.token)) return { kind: 'secret', secretVersion };
      const found = await findToken(proof.token);
      return found?.node.id === proof.nodeId ? { kind: 'deployment-token', tokenId: found.id } : null;
    },

    /** Uses the token up and answers the secret of its node; null when somebody else was first. */
    async redeemDeploymentToken(tokenId: string, origin: Origin): Promise<NodeSecret | null> {
      const now = new Date();
      return prisma.$transaction(async (transaction) => {
        const [token] = await transaction.deploymentToken.updateManyAndReturn({
          where: { id: tokenId, usedAt: null, expiresAt: { gt: now } },
          data: { usedAt: now },
          select: { node: { select: { id: true, name: true, secretEncrypted: true } } },
        });
        if (!token) return null;
        const { id, name, secretEncrypted } = token.node;
        const agent = { kind: 'subject', userId: null, username: null, origin } as const;
        await recordAudit(transaction, agent, {
          action: 'deployment_token.redeem',
          resourceType: 'node',
          resourceId: id,
          metadata: { nodeName: name, tokenId },
        });
        return open(secretEncrypted);
      });
    },
  };
}
