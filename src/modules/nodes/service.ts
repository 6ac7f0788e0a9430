import type { Config } from '../../config.js';
import type { Database } from '../../database/client.js';
import type { Bus } from '../../events.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { auditChanges, recordAudit } from '../../lib/audit.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { createToken, type Secrets } from '../../lib/secrets.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import { CloseCode } from '../../protocol/limits.js';
import type { requireRoomForServers } from '../servers/placing/capacity.js';
import { createAbsence } from './absence.js';
import { createNodeCredentials } from './credentials.js';
import { createEnrolment } from './enrolment.js';
import { createPresence } from './presence.js';
import type { CreateNodeBody, NodeDetails, UpdateNodeBody } from './schemas.js';
import { createSecretDelivery } from './secret-delivery.js';
import { createNodeViews } from './views.js';

export interface NodesOptions {
  database: Database;
  secrets: Secrets;
  agents: AgentGateway;
  bus: Bus;
  /** Of the servers' module, which knows what they hold. */
  requireRoomForServers: typeof requireRoomForServers;
  config: Pick<Config, 'HEARTBEAT_INTERVAL_MS' | 'PUBLIC_URL'>;
}

export type Nodes = ReturnType<typeof createNodes>;

export function createNodes({ database, secrets, agents, bus, requireRoomForServers, config }: NodesOptions) {
  const { prisma } = database;
  const presence = createPresence({ database, bus, heartbeatIntervalMs: config.HEARTBEAT_INTERVAL_MS });
  const delivery = createSecretDelivery({ pool: database.pool, secrets, agents });
  const views = createNodeViews({ prisma, secrets, presence });

  return {
    ...createEnrolment({ database, secrets }),
    ...createNodeCredentials({ prisma, secrets, delivery, publicUrl: config.PUBLIC_URL }),
    ...delivery,
    ...presence,
    ...createAbsence({ prisma, agents, presence }),
    ...views,

    async create(actor: Actor, input: CreateNodeBody): Promise<NodeDetails> {
      requirePermission(actor, 'admin.write');
      requirePortRange(input);
      const secretEncrypted = secrets.seal(createToken('ctn'));
      const nodeId = await writing(() =>
        prisma.$transaction(async (transaction) => {
          const { id } = await transaction.node.create({
            data: { ...input, secretEncrypted },
            select: { id: true },
          });
          await recordAudit(transaction, actor, {
            action: 'node.create',
            resourceType: 'node',
            resourceId: id,
            metadata: { nodeName: input.name, ...auditChanges({}, input) },
          });
          return id;
        }),
      );
      return views.get(actor, nodeId);
    },

    /** Under the same lock as placing servers, so that a node never shrinks below what they hold. */
    async update(actor: Actor, nodeId: string, input: UpdateNodeBody): Promise<NodeDetails> {
      requirePermission(actor, 'admin.write');
      const changes = withoutUndefined(input);
      await writing(() =>
        prisma.$transaction(async (transaction) => {
          await transaction.$queryRaw`SELECT FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
          const node = await transaction.node.findUnique({ where: { id: nodeId } });
          if (!node) throw new AppError('node.not_found');
          const differences = auditChanges(node, changes);
          if (Object.keys(differences.after).length === 0) return;
          requirePortRange({ ...node, ...changes });
          await requireRoomForServers(transaction, nodeId, changes);
          await transaction.node.update({ where: { id: nodeId }, data: changes });
          await recordAudit(transaction, actor, {
            action: 'node.update',
            resourceType: 'node',
            resourceId: nodeId,
            metadata: { nodeName: node.name, ...differences },
          });
        }),
      );
      return views.get(actor, nodeId);
    },

    /** Its IP pools go with it: without servers nobody holds an address of them. */
    async delete(actor: Actor, nodeId: string): Promise<void> {
      requirePermission(actor, 'admin.write');
      try {
        await prisma.$transaction(async (transaction) => {
          const [node] = await transaction.$queryRaw<{ name: string }[]>`
            SELECT "name" FROM "Node" WHERE "id" = ${nodeId} FOR UPDATE`;
          if (!node) throw new AppError('node.not_found');
          const pools = await transaction.ipPool.deleteMany({ where: { nodeId } });
          await transaction.node.delete({ where: { id: nodeId } });
          await recordAudit(transaction, actor, {
            action: 'node.delete',
            resourceType: 'node',
            resourceId: nodeId,
            metadata: { nodeName: node.name, ipPoolsDeleted: pools.count },
          });
        });
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('node.has_servers') : error;
      }
      agents.connection(nodeId)?.close(CloseCode.unauthorized, 'The node was deleted.');
    },
  };
}

function requirePortRange(range: { portRangeStart: number; portRangeEnd: number }): void {
  if (range.portRangeStart <= range.portRangeEnd) return;
  throw new AppError('request.invalid', 'body.portRangeEnd: must not be below portRangeStart');
}

/** What the database refuses, in the words of this module. */
async function writing<Result>(write: () => Promise<Result>): Promise<Result> {
  try {
    return await write();
  } catch (error) {
    if (isUniqueViolation(error)) throw new AppError('node.name_taken');
    if (isForeignKeyViolation(error)) throw new AppError('location.not_found');
    throw error;
  }
}
