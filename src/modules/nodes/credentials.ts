import type { Config } from '../../config.js';
import type { PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { recordAudit } from '../../lib/audit.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import { createToken, hashToken, type Secrets } from '../../lib/secrets.js';
import type { Deployment, DeploymentToken, RotatedSecret } from './credential-schemas.js';
import type { SecretDelivery } from './secret-delivery.js';

const DEPLOYMENT_TOKEN_MS = 60 * 60 * 1000;

export interface NodeCredentials {
  /**
   * A new deployment token.
   * @param baseUrl Of the panel as the caller reached it, for when PUBLIC_URL is not set.
   */
  deploy(actor: Actor, nodeId: string, baseUrl: string): Promise<Deployment>;
  listDeploymentTokens(actor: Actor, nodeId: string, query: PageQuery): Promise<Page<DeploymentToken>>;
  revokeDeploymentToken(actor: Actor, nodeId: string, tokenId: string): Promise<void>;
  /** From now on only the new secret counts; deployment tokens that nobody has used are revoked. */
  rotateSecret(actor: Actor, nodeId: string): Promise<RotatedSecret>;
}

/** What administrators do about the secrets and tokens of nodes. */
export function createNodeCredentials(options: {
  prisma: PrismaClient;
  secrets: Secrets;
  delivery: SecretDelivery;
  publicUrl: Config['PUBLIC_URL'];
}): NodeCredentials {
  const { prisma, secrets, delivery, publicUrl } = options;

  return {
    async deploy(actor, nodeId, baseUrl) {
      requirePermission(actor, 'admin.write');
      const token = createToken('ctd');
      const expiresAt = new Date(Date.now() + DEPLOYMENT_TOKEN_MS);
      const createdById = actor.kind === 'user' ? actor.userId : null;
      const node = await prisma.$transaction(async (transaction) => {
        // Locked, so that a rotation at the same time revokes this token or comes before its secret is read.
        const [found] = await transaction.$queryRaw<{ name: string; secretEncrypted: string }[]>`
          SELECT "name", "secretEncrypted" FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
        if (!found) throw new AppError('node.not_found');
        const { id: tokenId } = await transaction.deploymentToken.create({
          data: { nodeId, tokenHash: hashToken(token), expiresAt, createdById },
          select: { id: true },
        });
        await recordAudit(transaction, actor, {
          action: 'deployment_token.create',
          resourceType: 'node',
          resourceId: nodeId,
          metadata: { nodeName: found.name, tokenId, expiresAt },
        });
        return found;
      });
      const panelUrl = (publicUrl ?? baseUrl).replace(/\/+$/, '');
      return {
        deploymentToken: token,
        secret: secrets.open(node.secretEncrypted),
        deployUrl: `${panelUrl}/api/deploy/${token}`,
        expiresAt,
      };
    },

    async listDeploymentTokens(actor, nodeId, query) {
      requirePermission(actor, 'admin.read');
      const node = await prisma.node.findUnique({ where: { id: nodeId }, select: { id: true } });
      if (!node) throw new AppError('node.not_found');
      const [tokens, total] = await Promise.all([
        prisma.deploymentToken.findMany({
          where: { nodeId },
          select: { id: true, createdAt: true, expiresAt: true, usedAt: true, createdById: true },
          orderBy: [{ createdAt: 'desc' }, { id: 'desc' }],
          ...pageRange(query),
        }),
        prisma.deploymentToken.count({ where: { nodeId } }),
      ]);
      const users = await prisma.user.findMany({
        where: { id: { in: tokens.flatMap(({ createdById }) => createdById ?? []) } },
        select: { id: true, username: true },
      });
      const byId = new Map(users.map((user) => [user.id, user]));
      const items = tokens.map(({ createdById, ...token }) => ({
        ...token,
        createdBy: byId.get(createdById ?? '') ?? null,
      }));
      return { items, total };
    },

    async revokeDeploymentToken(actor, nodeId, tokenId) {
      requirePermission(actor, 'admin.write');
      await prisma.$transaction(async (transaction) => {
        const node = await transaction.node.findUnique({ where: { id: nodeId }, select: { name: true } });
        if (!node) throw new AppError('node.not_found');
        const { count } = await transaction.deploymentToken.deleteMany({ where: { id: tokenId, nodeId } });
        if (count === 0) throw new AppError('deployment_token.not_found');
        await recordAudit(transaction, actor, {
          action: 'deployment_token.revoke',
          resourceType: 'node',
          resourceId: nodeId,
          metadata: { nodeName: node.name, tokenId },
        });
      });
    },

    async rotateSecret(actor, nodeId) {
      requirePermission(actor, 'admin.write');
      const secret = createToken('ctn');
      await prisma.$transaction(async (transaction) => {
        const [node] = await transaction.node.updateManyAndReturn({
          where: { id: nodeId },
          data: { secretEncrypted: secrets.seal(secret) },
          select: { name: true },
        });
        if (!node) throw new AppError('node.not_found');
        const revoked = await transaction.deploymentToken.deleteMany({ where: { nodeId, usedAt: null } });
        await recordAudit(transaction, actor, {
          action: 'node.rotate_secret',
          resourceType: 'node',
          resourceId: nodeId,
          metadata: { nodeName: node.name, deploymentTokensRevoked: revoked.count },
        });
      });
      return { secret, agentUpdated: await delivery.deliverSecret(nodeId) };
    },
  };
}
