import { randomUUID } from 'node:crypto';
import type { PrismaClient } from '../../generated/prisma/client.js';
import { type Actor, hasPermission, requirePermission } from '../../lib/actor.js';
import {
  isDatabaseUnavailable,
  isForeignKeyViolation,
  isUniqueViolation,
} from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { readTemplate } from '../../lib/stored-template.js';
import { createTurns } from '../../lib/turns.js';
import { choosePorts } from './allocations.js';
import { lockNode, requireCapacity } from './capacity.js';
import { checkEnvironment } from './environment.js';
import { storedRestartPolicy } from './restart-policy.js';
import type { CreateServerBody, ServerDetail } from './schemas.js';
import type { ServerViews } from './views.js';

export interface ServerCreation {
  create(actor: Actor, input: CreateServerBody): Promise<ServerDetail>;
}

/** Creations under way at once; more are told to come back. */
const WAITING_MAX = 500;

interface CreationPlan {
  input: CreateServerBody;
  ownerId: string;
  primaryPort: number;
  networkMode: string;
  environment: Record<string, string>;
  templatePorts: { internal: number }[];
}

export function createServerCreation({
  prisma,
  views,
}: {
  prisma: PrismaClient;
  views: ServerViews;
}): ServerCreation {
  // They would only wait for the node's lock, each with a connection that others could use.
  const turns = createTurns({ isHopeless: isDatabaseUnavailable });
  let waiting = 0;
  return {
    async create(actor, input) {
      requirePermission(actor, 'server.create');
      if (waiting >= WAITING_MAX) throw new AppError('panel.busy');
      waiting += 1;
      try {
        const plan = await planServer(prisma, actor, input);
        const serverId = await turns.take(plan.input.nodeId, () => reserve(prisma, plan));
        return await views.get(actor, serverId);
      } catch (error) {
        throw explain(error);
      } finally {
        waiting -= 1;
      }
    },
  };
}

/** Everything that can be checked before the node is locked. */
async function planServer(
  prisma: PrismaClient,
  actor: Actor,
  input: CreateServerBody,
): Promise<CreationPlan> {
  const ownerId = chooseOwner(actor, input);
  const networkMode = checkNetworkMode(actor, input.networkMode);
  const [template, node] = await Promise.all([
    prisma.template.findUnique({ where: { id: input.templateId } }),
    prisma.node.findUnique({ where: { id: input.nodeId }, select: { locationId: true } }),
  ]);
  if (!template) throw new AppError('template.not_found');
  if (!node) throw new AppError('node.not_found');
  if (input.locationId && input.locationId !== node.locationId) {
    throw new AppError('request.invalid', 'The node is not in the location that locationId names.');
  }
  const environment = input.environment ?? {};
  const declared = readTemplate(template);
  checkEnvironment({ actor, template: declared, environment });
  const primaryPort = input.primaryPort ?? declared.ports[0]?.internal;
  if (!primaryPort) {
    throw new AppError('request.invalid', 'Give a primaryPort: the template does not name any port.');
  }
  return { input, ownerId, primaryPort, networkMode, environment, templatePorts: declared.ports };
}

function chooseOwner(actor: Actor, { ownerId }: CreateServerBody): string {
  const ownId = actor.kind === 'user' ? actor.userId : undefined;
  const chosen = ownerId ?? ownId;
  if (!chosen) throw new AppError('request.invalid', 'Give an ownerId.');
  if (chosen !== ownId && !hasPermission(actor, 'admin.write')) {
    throw new AppError('permission.denied', 'Only an administrator may create servers for other users.');
  }
  return chosen;
}

function checkNetworkMode(actor: Actor, networkMode = 'bridge'): string {
  if (networkMode !== 'bridge' && networkMode !== 'host') {
    throw new AppError('request.invalid', 'networkMode: must be "bridge" or "host".');
  }
  if (networkMode === 'host' && !hasPermission(actor, 'admin.write')) {
    throw new AppError(
      'permission.denied',
      'Only an administrator may put a server into the network of its node.',
    );
  }
  return networkMode;
}

/** Memory, CPU, disk and ports in one transaction that holds the node: nothing can be given away twice. */
function reserve(prisma: PrismaClient, plan: CreationPlan): Promise<string> {
  const { input, primaryPort, networkMode } = plan;
  return prisma.$transaction(async (transaction) => {
    const node = await lockNode(transaction, input.nodeId);
    await requireCapacity(transaction, node, input);
    const ports = await choosePorts(transaction, node, {
      primaryPort,
      networkMode,
      portBindings: input.portBindings,
      templatePorts: plan.templatePorts,
    });
    const uuid = randomUUID();
    const { id } = await transaction.server.create({
      data: {
        uuid,
        containerName: `catalyst-${uuid.slice(0, 8)}`,
        name: input.name,
        description: input.description ?? '',
        ownerId: plan.ownerId,
        nodeId: node.id,
        templateId: input.templateId,
        allocatedMemoryMb: input.allocatedMemoryMb,
        allocatedCpuCores: input.allocatedCpuCores,
        allocatedDiskMb: input.allocatedDiskMb,
        primaryPort,
        networkMode,
        environment: plan.environment,
        ...(input.restartPolicy && { restartPolicy: storedRestartPolicy(input.restartPolicy) }),
        ...(input.maxCrashCount !== undefined && { maxCrashCount: input.maxCrashCount }),
      },
      select: { id: true },
    });
    await transaction.allocation.createMany({
      data: ports.map((port) => ({ ...port, nodeId: node.id, serverId: id })),
    });
    return id;
  });
}

/** The owner or the template went between the check and the commit; a port, by a hand that knows no locks. */
function explain(error: unknown): unknown {
  if (isForeignKeyViolation(error, 'Server_ownerId_fkey')) return new AppError('user.not_found');
  if (isForeignKeyViolation(error, 'Server_templateId_fkey')) return new AppError('template.not_found');
  if (isUniqueViolation(error, 'Allocation_nodeId_hostIp_hostPort_key')) {
    return new AppError('allocation.port_taken');
  }
  return error;
}
