import { z } from 'zod';
import {
  Description,
  Id,
  Name,
  PageQuery,
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

const Port = wholeNumber({ min: 1, max: 65_535 });
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

export const CreateServerBody = z.strictObject({
  name: Name,
  description: Description.optional(),
  templateId: Id,
  nodeId: Id,
  /** When given, the node has to be there. */
  locationId: Id.optional(),
  /** For another user: takes `admin.write`. */
  ownerId: Id.optional(),
  allocatedMemoryMb: Memory,
  allocatedCpuCores: CpuCores,
  allocatedDiskMb: Disk,
  /** Where the game listens inside its container; left out, the template's first port. */
  primaryPort: Port.optional(),
  /** Container port → host port. */
  portBindings: z
    .record(ContainerPort, Port)
    .refine(
      (bindings) => Object.keys(bindings).length <= PORT_BINDINGS_MAX,
      `takes at most ${PORT_BINDINGS_MAX} ports`,
    )
    .optional(),
  networkMode: NetworkMode.optional(),
  environment: EnvironmentVariables.optional(),
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
  restartPolicy: RestartPolicy.optional(),
  maxCrashCount: wholeNumber({ max: CRASHES_MAX }).optional(),
});
export type UpdateServerBody = z.output<typeof UpdateServerBody>;

export const ListServersQuery = z.strictObject({
  ...PageQuery.shape,
  nodeId: Id.optional(),
  status: ClientServerState.optional(),
});
export type ListServersQuery = z.output<typeof ListServersQuery>;

export const ServerParams = z.object({ serverId: Id });

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
  containerId: z.string().nullable(),
  networkSent: z.number(),
  networkReceived: z.number(),
  diskUsageMb: z.int(),
  crashCount: z.int(),
  lastCrashAt: Timestamp.nullable(),
  restartPolicy: RestartPolicy,
  maxCrashCount: z.int(),
  suspendedAt: Timestamp.nullable(),
  suspensionReason: z.string().nullable(),
});
export type ServerDetail = z.output<typeof ServerDetail>;

export const ServersResponse = successPage(ServerSummary);
export const ServerResponse = success(ServerDetail);
export const MessageResponse = z.object({ success: z.literal(true), message: z.string() });
export const InstallResponse = MessageResponse.extend({ serverId: z.string() });
