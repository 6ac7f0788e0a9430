import type { Database } from '../../database/client.js';
import { createToken, hashToken, isSameSecret, type Secrets } from '../../lib/secrets.js';

const DEPLOYMENT_TOKEN_MS = 60 * 60 * 1000;

/** How an agent proved that it is the node's. */
export type AgentCredential = { kind: 'secret' } | { kind: 'deployment-token'; tokenId: string };

/** What agents prove their node with: its secret for good, a deployment token once. */
export function createEnrolment({ database, secrets }: { database: Database; secrets: Secrets }) {
  const { prisma } = database;

  /** A token that may still be exchanged, and its node. */
  async function findToken(token: string) {
    return prisma.deploymentToken.findFirst({
      where: { tokenHash: hashToken(token), usedAt: null, expiresAt: { gt: new Date() } },
      select: { id: true, node: { select: { id: true, name: true } } },
    });
  }

  return {
    async createDeploymentToken(nodeId: string, createdById: string | null) {
      const token = createToken('ctd');
      const expiresAt = new Date(Date.now() + DEPLOYMENT_TOKEN_MS);
      await prisma.deploymentToken.create({
        data: { nodeId, tokenHash: hashToken(token), expiresAt, createdById },
      });
      return { token, expiresAt };
    },

    /** The node that a deployment token is for, without using the token up; null when it is not valid. */
    async findDeployment(token: string): Promise<{ nodeId: string; nodeName: string } | null> {
      const found = await findToken(token);
      return found && { nodeId: found.node.id, nodeName: found.node.name };
    },

    async authenticateAgent(proof: { nodeId: string; token: string }): Promise<AgentCredential | null> {
      const node = await prisma.node.findUnique({
        where: { id: proof.nodeId },
        select: { secretEncrypted: true },
      });
      if (!node) return null;
      if (isSameSecret(secrets.open(node.secretEncrypted), proof.token)) return { kind: 'secret' };
      const found = await findToken(proof.token);
      return found?.node.id === proof.nodeId ? { kind: 'deployment-token', tokenId: found.id } : null;
    },

    /** Uses the token up and answers the secret of its node; null when somebody else was first. */
    async redeemDeploymentToken(tokenId: string): Promise<string | null> {
      const now = new Date();
      const [token] = await prisma.deploymentToken.updateManyAndReturn({
        where: { id: tokenId, usedAt: null, expiresAt: { gt: now } },
        data: { usedAt: now },
        select: { node: { select: { secretEncrypted: true } } },
      });
      return token ? secrets.open(token.node.secretEncrypted) : null;
    },
  };
}
