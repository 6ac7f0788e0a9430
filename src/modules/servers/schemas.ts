import { z } from 'zod';
import { DockerImage } from '../../lib/docker-image.js';
import {
  Description,
  Id,
  Name,
  PageQuery,
  Port,
  Search,
  success,
  successPage,
  Timestamp,
  VariableName,
  wholeNumber,
} from '../../lib/schemas.js';
import { ClientServerState } from '../../protocol/client-messages.js';

const MEMORY_MIN_MB = 16;
const CPU_CORES_MAX = 1024;
const PORT_BINDINGS_MAX = 50;
const ENVIRONMENT_MAX = 200;
const ENVIRONMENT_VALUE_MAX_LENGTH = 8192;
const STOP_TIMEOUT_MAX_SECONDS = 3600;
const CRASHES_MAX = 1000;
const DATABASES_MAX = 100;
const ADDRESS_MAX_LENGTH = 45;

const ContainerPort = z
  .string()
  .regex(/^[1-9]\d{0,4}$/, 'must be a port number')
  .refine((text) => Number(text) <= 65_535);
const NetworkMode = z.string().max(64);
const RestartPolicy = z.enum(['always', 'on-failure', 'never']);

const EnvironmentVariables = z
  .record(VariableName, z.string().max(ENVIRONMENT_VALUE_MAX_LENGTH))
  .refine(
    (names) => Object.keys(names).length <= ENVIRONMENT_MAX,
    `takes at most ${ENVIRONMENT_MAX} variables`,
  );

const Memory = wholeNumber({ min: MEMORY_MIN_MB });
const CpuCores = z.number().min(0.01).max(CPU_CORES_MAX);
const Disk = wholeNumber({ min: 1 });
const DatabaseLimit = wholeNumber({ max: DATABASES_MAX });

export const CreateServerBody = z.strictObject({
  name: Name,
  description: Description.optional(),
  templateId: Id,
  /** Left out, the online node with the most room is chosen. */
  nodeId: Id.optional(),
  /** Where that node has to be. */
  locationId: Id.optional(),
  /** For another user: takes `admin.write`. */
  ownerId: Id.optional(),
  allocatedMemoryMb: Memory,
  allocatedCpuCores: CpuCores,
  allocatedDiskMb: Disk,
  /** Where the game listens inside its container; left out, the template's first port. */
  primaryPort: Port.optional(),
  /** Container port → host port; the same port twice for a server with an address of its own. */
  portBindings: z
    .record(ContainerPort, Port)
    .refine(
      (bindings) => Object.keys(bindings).length <= PORT_BINDINGS_MAX,
      `takes at most ${PORT_BINDINGS_MAX} ports`,
    )
    .optional(),
  /** `bridge`, `host` (takes `admin.write`) or the network of one of the node's IP pools. */
  networkMode: NetworkMode.optional(),
  /** The address of the pool to have; left out, the lowest that is free. */
  primaryIp: z.string().min(1).max(ADDRESS_MAX_LENGTH).optional(),
  environment: EnvironmentVariables.optional(),
  /** One of the template's images; any other takes `admin.write`. Left out: the template's own. */
  dockerImage: DockerImage.optional(),
  /** More than the default, 5, takes `admin.write` or a role with `server.update`. */
  databaseLimit: DatabaseLimit.optional(),
  restartPolicy: RestartPolicy.optional(),
  maxCrashCount: wholeNumber({ max: CRASHES_MAX }).optional(),
});
export type CreateServerBody = z.output<typeof CreateServerBody>;

export const UpdateServerBody = z.strictObject({
  name: Name.optional(),
  description: Description.optional(),
  allocatedMemoryMb: Memory.optional(),
  allocatedCpuCores: CpuCores.optional(),
  allocatedDiskMb: Disk.optional(),
  /** Replaces the whole environment; it counts from the next start. */
  environment: EnvironmentVariables.optional(),
  /** One of the template's images; any other takes `admin.write`. Null: the template's own, whatever it is. */
  dockerImage: DockerImage.nullable().optional(),
  /** Takes `admin.write` or a role with `server.update`. */
  databaseLimit: DatabaseLimit.optional(),
  restartPolicy: RestartPolicy.optional(),
  maxCrashCount: wholeNumber({ max: CRASHES_MAX }).optional(),
});
export type UpdateServerBody = z.output<typeof UpdateServerBody>;

export const ListServersQuery = z.strictObject({
  ...PageQuery.shape,
  nodeId: Id.optional(),
  status: ClientServerState.optional(),
  ownerId: Id.optional(),
  templateId: Id.optional(),
  locationId: Id.optional(),
  /** Part of the name, the description, the UUID or the id, in whatever case. */
  search: Search.optional(),
  sort: z
    .enum(['name', 'status', 'createdAt', 'updatedAt', 'allocatedMemoryMb', 'cpuUsage', 'memoryUsageMb'])
    .optional(),
  order: z.enum(['asc', 'desc']).optional(),
});
export type ListServersQuery = z.output<typeof ListServersQuery>;

export const StopServerBody = z
  .strictObject({
    /** How long the server may take before it is killed, in seconds. */
    timeout: wholeNumber({ min: 1, max: STOP_TIMEOUT_MAX_SECONDS }).optional(),
  })
  .nullish();

const common = {
  id: z.string(),
  uuid: z.string(),
  name: z.string(),
  description: z.string(),
  ownerId: z.string(),
  nodeId: z.string(),
  templateId: z.string(),
  status: ClientServerState,
  /** The node is offline: the status is the last that it reported. */
  statusStale: z.boolean(),
  allocatedMemoryMb: z.int(),
  allocatedCpuCores: z.number(),
  allocatedDiskMb: z.int(),
  primaryPort: z.int(),
  networkMode: z.string(),
  containerName: z.string(),
  cpuUsage: z.number(),
  memoryUsageMb: z.int(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
};

export const ServerSummary = z.object(common);
export type ServerSummary = z.output<typeof ServerSummary>;

export const ServerDetail = z.object({
  ...common,
  owner: z.object({ id: z.string(), username: z.string() }),
  node: z.object({ id: z.string(), name: z.string(), hostname: z.string() }),
  template: z.object({ id: z.string(), name: z.string(), dockerImage: z.string() }),
  desiredState: z.enum(['stopped', 'running']),
  /** Why the status is what it is. */
  statusReason: z.string().nullable(),
  exitCode: z.int().nullable(),
  oomKilled: z.boolean().nullable(),
  startedAt: Timestamp.nullable(),
  installedAt: Timestamp.nullable(),
  environment: z.record(z.string(), z.string()),
  /** Container port → host port. */
  portBindings: z.record(z.string(), z.int()),
  /** Of its own, in the network of an IP pool. */
  ipAddress: z.string().nullable(),
  /** Null: the template's. */
  dockerImage: z.string().nullable(),
  databaseLimit: z.int(),
  containerId: z.string().nullable(),
  networkSent: z.number(),
  networkReceived: z.number(),
  diskUsageMb: z.int(),
  crashCount: z.int(),
  lastCrashAt: Timestamp.nullable(),
  restartPolicy: RestartPolicy,
  maxCrashCount: z.int(),
  suspendedAt: Timestamp.nullable(),
  suspendedByUserId: z.string().nullable(),
  suspensionReason: z.string().nullable(),
  /** It goes when its node is back. */
  deletionRequestedAt: Timestamp.nullable(),
});
export type ServerDetail = z.output<typeof ServerDetail>;

export const ServersResponse = successPage(ServerSummary);
export const ServerResponse = success(ServerDetail);
export const MessageResponse = z.object({ success: z.literal(true), message: z.string() });
export const InstallResponse = MessageResponse.extend({ serverId: z.string() });
