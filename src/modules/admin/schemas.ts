import { z } from 'zod';
import { Id, PageQuery, Search, success, successPage, Timestamp } from '../../lib/schemas.js';
import { ClientServerState } from '../../protocol/client-messages.js';

export const Statistics = z.object({
  totalServers: z.int(),
  runningServers: z.int().describe('Those whose last reported status is `running`.'),
  totalNodes: z.int(),
  onlineNodes: z.int().describe('Those whose agent was heard of within three heartbeats.'),
  totalUsers: z.int(),
  totalMemoryMb: z.int().describe('What all nodes have.'),
  usedMemoryMb: z.int().describe('What servers hold of it, running or not: nobody else can be given it.'),
  totalCpuCores: z.number().describe('What all nodes have.'),
  usedCpuCores: z.number().describe('What servers hold of it, running or not.'),
  measuredMemoryMb: z.int().describe('What servers that are up used when they were last measured.'),
  measuredCpuCores: z.number().describe('What servers that are up used when they were last measured.'),
});
export type Statistics = z.output<typeof Statistics>;

export const ListAllServersQuery = z.strictObject({
  ...PageQuery.shape,
  status: ClientServerState.optional(),
  nodeId: Id.optional(),
  ownerId: Id.optional(),
  /** Part of the name or of the owner’s username, or the whole id or UUID. */
  search: Search.optional(),
});
export type ListAllServersQuery = z.output<typeof ListAllServersQuery>;

export const AnyServer = z.object({
  id: z.string(),
  uuid: z.string(),
  name: z.string(),
  owner: z.object({ id: z.string(), username: z.string() }),
  node: z.object({ id: z.string(), name: z.string() }),
  status: ClientServerState,
  /** The node is offline: the status is the last that it reported. */
  statusStale: z.boolean(),
  allocatedMemoryMb: z.int(),
  allocatedCpuCores: z.number(),
  allocatedDiskMb: z.int(),
  /** Per cent of one core. */
  cpuUsage: z.number(),
  memoryUsageMb: z.int(),
  createdAt: Timestamp,
});
export type AnyServer = z.output<typeof AnyServer>;

const ServiceState = z.enum(['running', 'stopped', 'disabled']).describe('`disabled`: this panel has none.');

export const Health = z.object({
  status: z
    .enum(['healthy', 'degraded', 'unhealthy'])
    .describe('`degraded` while a node is offline, `unhealthy` while the database is away.'),
  database: z.enum(['connected', 'disconnected']),
  redis: z.enum(['connected', 'disconnected', 'disabled']),
  nodes: z
    .object({ total: z.int(), online: z.int(), offline: z.int() })
    .nullable()
    .describe('Null: the database, which knows them, is away.'),
  services: z.object({
    taskScheduler: ServiceState,
    alertService: ServiceState,
    sftpServer: ServiceState,
  }),
  uptime: z.int().describe('Of this panel, in seconds.'),
});
export type Health = z.output<typeof Health>;

export const StatisticsResponse = success(Statistics);
export const AllServersResponse = successPage(AnyServer);
export const HealthResponse = success(Health);
