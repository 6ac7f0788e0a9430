import { z } from 'zod';
import { Description, Id, Name, success, successPage, Timestamp, wholeNumber } from '../../lib/schemas.js';
import { ClientServerState } from '../../protocol/client-messages.js';

const CPU_CORES_MAX = 4096;

/** A name or an address, as it is put into URLs and shown to players. */
const Host = z
  .string()
  .trim()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$/, 'must be a host name or an IP address');
const Cores = z.number().positive().max(CPU_CORES_MAX);
const Port = wholeNumber({ min: 1, max: 65_535 });
const Megabytes = wholeNumber({ min: 1 });

export const NodeParams = z.object({ nodeId: Id });

const settings = {
  name: Name,
  description: Description,
  locationId: Id,
  hostname: Host,
  publicAddress: Host,
  maxMemoryMb: Megabytes,
  maxCpuCores: Cores,
  /** Null: not limited by the panel. */
  maxDiskMb: Megabytes.nullable(),
  portRangeStart: Port,
  portRangeEnd: Port,
};

export const CreateNodeBody = z.strictObject({
  ...settings,
  description: Description.default(''),
  maxDiskMb: settings.maxDiskMb.default(null),
  portRangeStart: Port.default(1024),
  portRangeEnd: Port.default(65_535),
});
export type CreateNodeBody = z.output<typeof CreateNodeBody>;

export const UpdateNodeBody = z.strictObject(settings).partial();
export type UpdateNodeBody = z.output<typeof UpdateNodeBody>;

const NodeServer = z.object({ id: z.string(), name: z.string(), status: ClientServerState });

export const Node = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  locationId: z.string(),
  hostname: z.string(),
  publicAddress: z.string(),
  maxMemoryMb: z.int(),
  maxCpuCores: z.number(),
  maxDiskMb: z.int().nullable(),
  portRangeStart: z.int(),
  portRangeEnd: z.int(),
  /** Its agent is connected and was heard of lately. */
  isOnline: z.boolean(),
  lastSeenAt: Timestamp.nullable(),
  runtime: z.enum(['docker', 'process']).nullable(),
  agentVersion: z.string().nullable(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  /** Those that the caller may read. */
  servers: z.array(NodeServer),
});
export type Node = z.output<typeof Node>;

/** The secret is only there for callers with `admin.write`. */
export const NodeDetails = Node.extend({ secret: z.string().optional() });
export type NodeDetails = z.output<typeof NodeDetails>;

export const DeploymentToken = z.object({
  deploymentToken: z.string(),
  secret: z.string(),
  deployUrl: z.string(),
  expiresAt: Timestamp,
});
export type DeploymentToken = z.output<typeof DeploymentToken>;

export const NodesResponse = successPage(Node);
export const NodeResponse = success(NodeDetails);
export const DeploymentTokenResponse = success(DeploymentToken);
