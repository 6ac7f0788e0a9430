import type { PrismaClient } from '../../../generated/prisma/client.js';
import type { RestartPolicy } from '../../../generated/prisma/enums.js';
import { type Actor, hasPermission } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';
import { readTemplate } from '../../../lib/stored-template.js';
import { storedRestartPolicy } from '../restart-policy.js';
import type { CreateServerBody } from '../schemas.js';
import type { Resources } from './capacity.js';
import { checkEnvironment } from './environment.js';
import { checkNetwork, type NetworkRequest } from './networks.js';
import type { PortRequest } from './ports.js';
import { checkDatabaseLimit, checkDockerImage } from './restricted-settings.js';

/** A new server as it is to be, checked as far as that goes before its node is locked. */
export interface ServerPlan {
  ownerId: string;
  /** Null: the best one of the location, or of all. */
  nodeId: string | null;
  locationId: string | null;
  resources: Resources;
  network: NetworkRequest;
  ports: Omit<PortRequest, 'networkMode'>;
  columns: {
    name: string;
    description: string;
    templateId: string;
    environment: Record<string, string>;
    dockerImage: string | null;
    databaseLimit: number;
    restartPolicy?: RestartPolicy;
    maxCrashCount?: number;
  };
  audit: { action: 'server.create' | 'server.clone'; metadata: Record<string, unknown> };
}

/** What a clone has from its source: what an administrator allowed there stays allowed. */
export interface Inheritance {
  environment: Record<string, string>;
  dockerImage: string | null;
  databaseLimit: number;
}

export interface PlanRequest {
  input: CreateServerBody;
  inherited?: Inheritance | undefined;
  /** Instead of those of the template. */
  containerPorts?: number[];
  audit: ServerPlan['audit'];
}

/** As the database has it for servers that nobody says it for. */
const DATABASE_LIMIT_DEFAULT = 5;

export async function planServer(
  prisma: PrismaClient,
  actor: Actor,
  { input, inherited, containerPorts, audit }: PlanRequest,
): Promise<ServerPlan> {
  const ownerId = chooseOwner(actor, input);
  const { networkMode = 'bridge', primaryIp } = input;
  const network = checkNetwork(actor, { networkMode, primaryIp });
  const template = await loadTemplate(prisma, input.templateId);
  await checkPlace(prisma, input);
  const { environment = {}, dockerImage = null, databaseLimit = DATABASE_LIMIT_DEFAULT } = input;
  checkEnvironment({ actor, template, environment, ...(inherited && { current: inherited.environment }) });
  checkDockerImage(actor, template, dockerImage, inherited?.dockerImage);
  const allowedLimit = inherited?.databaseLimit ?? DATABASE_LIMIT_DEFAULT;
  if (databaseLimit > allowedLimit) checkDatabaseLimit(actor, databaseLimit, allowedLimit);
  const templatePorts = containerPorts?.map((internal) => ({ internal })) ?? template.ports;
  const primaryPort = input.primaryPort ?? templatePorts[0]?.internal;
  if (!primaryPort) {
    throw new AppError('request.invalid', 'Give a primaryPort: the template does not name any port.');
  }
  return {
    ownerId,
    nodeId: input.nodeId ?? null,
    locationId: input.locationId ?? null,
    resources: {
      allocatedMemoryMb: input.allocatedMemoryMb,
      allocatedCpuCores: input.allocatedCpuCores,
      allocatedDiskMb: input.allocatedDiskMb,
    },
    network,
    ports: { primaryPort, templatePorts, portBindings: input.portBindings },
    columns: {
      name: input.name,
      description: input.description ?? '',
      templateId: input.templateId,
      environment,
      dockerImage,
      databaseLimit,
      ...(input.restartPolicy && { restartPolicy: storedRestartPolicy(input.restartPolicy) }),
      ...(input.maxCrashCount !== undefined && { maxCrashCount: input.maxCrashCount }),
    },
    audit: { ...audit, metadata: { templateName: template.name, ...audit.metadata } },
  };
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

async function loadTemplate(prisma: PrismaClient, templateId: string) {
  const template = await prisma.template.findUnique({
    where: { id: templateId },
    select: {
      name: true,
      dockerImage: true,
      images: true,
      ports: true,
      environment: true,
      variables: true,
      requiredVariables: true,
    },
  });
  if (!template) throw new AppError('template.not_found');
  return readTemplate(template);
}

async function checkPlace(prisma: PrismaClient, { nodeId, locationId }: CreateServerBody): Promise<void> {
  if (nodeId !== undefined) {
    const node = await prisma.node.findUnique({ where: { id: nodeId }, select: { locationId: true } });
    if (!node) throw new AppError('node.not_found');
    if (locationId === undefined || locationId === node.locationId) return;
    throw new AppError('request.invalid', 'The node is not in the location that locationId names.');
  }
  if (locationId === undefined) return;
  const location = await prisma.location.findUnique({ where: { id: locationId }, select: { id: true } });
  if (!location) throw new AppError('location.not_found');
}
