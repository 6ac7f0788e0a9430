import { z } from 'zod';
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
  wholeNumber,
} from '../../lib/schemas.js';
import { ClientServerState } from '../../protocol/client-messages.js';

const CPU_CORES_MAX = 4096;
const OVERALLOCATE_MAX_PERCENT = 10_000;
const TAGS_MAX = 20;

/** A name or an address, as it is put into URLs and shown to players. */
const Host = z
  .string()
  .trim()
  .min(1)
  .max(253)
  .regex(/^[A-Za-z0-9]([A-Za-z0-9._:-]*[A-Za-z0-9])?$/, 'must be a host name or an IP address');
const Cores = z.number().positive().max(CPU_CORES_MAX);
const Megabytes = wholeNumber({ min: 1 });
const Percent = wholeNumber({ max: OVERALLOCATE_MAX_PERCENT });
const Tag = z
  .string()
  .max(32)
  .regex(
    /^[\p{L}\p{N}][\p{L}\p{N}._:-]*$/u,
    'must be letters, digits, and ".", "_", ":" or "-" between them',
  );
const Tags = z
  .array(Tag)
  .max(TAGS_MAX)
  .refine((tags) => new Set(tags).size === tags.length, 'names a tag twice');

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
  /** So many percent more than the node has may be given away. */
  memoryOverallocatePercent: Percent,
  cpuOverallocatePercent: Percent,
  diskOverallocatePercent: Percent,
  portRangeStart: Port,
  portRangeEnd: Port,
  tags: Tags,
  /** Takes no new servers. */
  isInMaintenance: z.boolean(),
};

export const CreateNodeBody = z.strictObject({
  ...settings,
  description: Description.default(''),
  maxDiskMb: settings.maxDiskMb.default(null),
  memoryOverallocatePercent: Percent.default(0),
  cpuOverallocatePercent: Percent.default(0),
  diskOverallocatePercent: Percent.default(0),
  portRangeStart: Port.default(1024),
  portRangeEnd: Port.default(65_535),
  tags: Tags.default([]),
  isInMaintenance: z.boolean().default(false),
});
export type CreateNodeBody = z.output<typeof CreateNodeBody>;

export const UpdateNodeBody = z.strictObject(settings).partial();
export type UpdateNodeBody = z.output<typeof UpdateNodeBody>;

export const ListNodesQuery = z.strictObject({
  ...PageQuery.shape,
  locationId: Id.optional(),
  isOnline: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .meta({ type: 'boolean', enum: undefined })
    .optional(),
  tag: z.string().min(1).max(32).optional(),
  /** Part of the name, the description, the host name or the public address. */
  search: Search.optional(),
  sort: z.enum(['name', 'createdAt', 'updatedAt', 'lastSeenAt', 'maxMemoryMb', 'maxCpuCores']).optional(),
  order: z.enum(['asc', 'desc']).optional(),
});
export type ListNodesQuery = z.output<typeof ListNodesQuery>;

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
  memoryOverallocatePercent: z.int(),
  cpuOverallocatePercent: z.int(),
  diskOverallocatePercent: z.int(),
  portRangeStart: z.int(),
  portRangeEnd: z.int(),
  tags: z.array(z.string()),
  isInMaintenance: z.boolean(),
  /** Its agent is connected and was heard of lately. */
  isOnline: z.boolean(),
  lastSeenAt: Timestamp.nullable(),
  runtime: z.enum(['docker', 'process']).nullable(),
  agentVersion: z.string().nullable(),
  /** What its agent could do beyond the documented messages when it was last connected: `project-quotas`, … */
  capabilities: z.array(z.string()),
  createdAt: Timestamp,
  updatedAt: Timestamp,
  /** Those that the caller may read. */
  servers: z.array(NodeServer),
});
export type Node = z.output<typeof Node>;

/** The secret is only there for callers with `admin.write`. */
export const NodeDetails = Node.extend({ secret: z.string().optional() });
export type NodeDetails = z.output<typeof NodeDetails>;

export const NodesResponse = successPage(Node);
export const NodeResponse = success(NodeDetails);
