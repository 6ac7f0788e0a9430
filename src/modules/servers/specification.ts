import type { PrismaClient } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import { type ConfigValue, readTemplate, type TemplateColumns } from '../../lib/stored-template.js';
import { fixedValues, quoteWords, renderCommand, renderText } from '../../lib/templates.js';
import type { PortBinding, ServerNetwork, ServerSpecification } from '../../protocol/server-specification.js';
import { declaredValues, type VariableDeclarations } from './placing/environment.js';
import { shownRestartPolicy } from './restart-policy.js';

export interface Specifications {
  /** How to build and run the server as it is stored now, ready for its agent. */
  of(serverId: string): Promise<ServerSpecification>;
  /** With when the server was last changed: from then on it is as it is here. */
  dated(serverId: string): Promise<{ specification: ServerSpecification; updatedAt: Date }>;
}

export function createSpecifications({ prisma }: { prisma: PrismaClient }): Specifications {
  async function dated(serverId: string) {
    const server = await load(prisma, serverId);
    if (!server) throw new AppError('server.not_found');
    return { specification: specify(server), updatedAt: server.updatedAt };
  }

  return {
    dated,
    async of(serverId) {
      return (await dated(serverId)).specification;
    },
  };
}

type StoredServer = NonNullable<Awaited<ReturnType<typeof load>>>;

function load(prisma: PrismaClient, serverId: string) {
  return prisma.server.findUnique({
    where: { id: serverId },
    include: {
      template: true,
      node: { select: { runtime: true } },
      allocations: { orderBy: { hostPort: 'asc' } },
      ipAddress: { include: { pool: true } },
    },
  });
}

function specify(server: StoredServer): ServerSpecification {
  const template = readTemplate(server.template);
  const { values, environment } = renderEnvironment(server, template);
  const command = renderCommand(template.startCommand, values);
  return {
    serverId: server.id,
    serverUuid: server.uuid,
    suspended: server.suspendedAt !== null,
    template: {
      dockerImage: server.dockerImage ?? template.dockerImage,
      startCommand: quoteWords(command),
      environment,
      stopCommand: template.stopCommand === null ? null : renderText(template.stopCommand, values),
      stopSignal: template.stopSignal,
      installImage: template.installImage,
      installScript: template.installScript,
      startupDetection: template.startupDetection,
      dataPath: template.dataPath,
      installShell: template.installShell,
      installDataPath: template.installDataPath,
      installAsRoot: template.installAsRoot,
    },
    environment,
    allocatedMemoryMb: server.allocatedMemoryMb,
    allocatedCpuCores: server.allocatedCpuCores,
    allocatedDiskMb: server.allocatedDiskMb,
    primaryPort: server.primaryPort,
    networkMode: server.networkMode,
    command,
    containerName: server.containerName,
    portBindings: publishedPorts(server),
    restartPolicy: shownRestartPolicy(server.restartPolicy),
    maxCrashCount: server.maxCrashCount,
    configFiles: template.configFiles.map((file) => ({
      ...file,
      values: renderConfigValues(file.values, values),
    })),
    network: networkOf(server),
  };
}

/** A server with an address of its own is reached there: nothing of it is published on the node. */
function publishedPorts(server: StoredServer): PortBinding[] {
  if (server.ipAddress) return [];
  return server.allocations.map(({ hostIp, hostPort, containerPort }) => ({
    hostIp,
    hostPort,
    containerPort,
  }));
}

function networkOf({ ipAddress }: StoredServer): ServerNetwork | null {
  if (!ipAddress) return null;
  const { networkName: name, driver, parentInterface, cidr, gateway } = ipAddress.pool;
  return { name, driver, parentInterface, cidr, gateway, ipAddress: ipAddress.ip };
}

type ConfigValues = TemplateColumns['configFiles'][number]['values'];

/** Values may have placeholders, also those of the inner maps; what they are looked up by has none. */
function renderConfigValues(
  configured: ConfigValues,
  values: Readonly<Record<string, string>>,
): ConfigValues {
  const render = (value: ConfigValue) => (typeof value === 'string' ? renderText(value, values) : value);
  return Object.fromEntries(
    Object.entries(configured).map(([key, value]) => [
      key,
      typeof value === 'object'
        ? Object.fromEntries(Object.entries(value).map(([match, inner]) => [match, render(inner)]))
        : render(value),
    ]),
  );
}

/** The values of placeholders, and what the server's processes see as environment variables. */
function renderEnvironment(
  server: StoredServer,
  template: VariableDeclarations,
): {
  values: Record<string, string>;
  environment: Record<string, string>;
} {
  const given = declaredValues(template, server.environment as Record<string, string>);
  const builtIn = {
    MEMORY: given.MEMORY || `${server.allocatedMemoryMb}M`,
    MEMORY_MB: String(server.allocatedMemoryMb),
    PORT: String(portSeenByServer(server)),
    SERVER_ID: server.id,
    SERVER_UUID: server.uuid,
  };
  const declared = Object.fromEntries(template.variables.map(({ name }) => [name, '']));
  // A variable that nobody gave a value is not set at all: many images take an empty one for a choice.
  const defaults = Object.fromEntries(
    template.variables.flatMap(({ name, default: value }) =>
      typeof value === 'string' ? [[name, value]] : [],
    ),
  );
  const values = { ...declared, ...defaults, ...fixedValues(template.environment), ...given, ...builtIn };
  const rendered = Object.fromEntries(
    Object.entries(template.environment).map(([name, text]) => [name, renderText(text, values)]),
  );
  return { values, environment: { ...defaults, ...rendered, ...given, ...builtIn } };
}

/** Without a network of its own the server listens on the node's port itself. */
function portSeenByServer(server: StoredServer): number {
  const sharesHost = server.networkMode === 'host' || server.node.runtime === 'process';
  const primary = server.allocations.find((allocation) => allocation.isPrimary);
  return sharesHost ? (primary?.hostPort ?? server.primaryPort) : server.primaryPort;
}
