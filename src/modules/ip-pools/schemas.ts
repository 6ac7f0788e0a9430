import { z } from 'zod';
import {
  Description,
  Id,
  Name,
  PageQuery,
  queryInteger,
  Search,
  success,
  successPage,
  Timestamp,
} from '../../lib/schemas.js';

/** An IPv6 address with its prefix, and no more. */
const ADDRESS_MAX_LENGTH = 64;
const RESERVED_MAX = 1000;
const FREE_MAX = 100;
const FREE_DEFAULT = 5;

const RESERVED_NETWORKS = new Set(['bridge', 'host', 'none', 'default']);

/** What is an address or a network, and fits the others, is checked with all of them at hand. */
const Address = z.string().min(1).max(ADDRESS_MAX_LENGTH);
/** As Docker wants them. */
const NetworkName = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9_.-]{1,63}$/,
    'must be 2 to 64 letters, digits, "_", "." or "-" that begin with a letter or digit',
  )
  .refine((name) => !RESERVED_NETWORKS.has(name.toLowerCase()), "is one of Docker's own networks");
/** As Linux allows them, with the number of a VLAN. */
const InterfaceName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$/, 'must be the name of a network interface');
const Driver = z.enum(['bridge', 'macvlan', 'ipvlan']);
const Reserved = z.array(Address).max(RESERVED_MAX);

export const IpPoolParams = z.object({ poolId: Id });
const settings = {
  nodeId: Id,
  name: Name,
  description: Description,
  networkName: NetworkName,
  driver: Driver,
  parentInterface: InterfaceName.nullable(),
  cidr: Address,
  gateway: Address.nullable(),
  startIp: Address.nullable(),
  endIp: Address.nullable(),
  reserved: Reserved,
};

export const CreateIpPoolBody = z.strictObject({
  ...settings,
  description: Description.default(''),
  driver: Driver.default('bridge'),
  parentInterface: settings.parentInterface.default(null),
  gateway: settings.gateway.default(null),
  startIp: settings.startIp.default(null),
  endIp: settings.endIp.default(null),
  reserved: Reserved.default([]),
});
export type CreateIpPoolBody = z.output<typeof CreateIpPoolBody>;

export const UpdateIpPoolBody = z.strictObject(settings).partial();
export type UpdateIpPoolBody = z.output<typeof UpdateIpPoolBody>;

export const ListIpPoolsQuery = z.strictObject({
  ...PageQuery.shape,
  nodeId: Id.optional(),
  /** Part of the name, the description, the name of the network or the network itself. */
  search: Search.optional(),
});
export type ListIpPoolsQuery = z.output<typeof ListIpPoolsQuery>;

export const IpAvailabilityQuery = z.strictObject({
  networkName: z.string().min(1).max(64).optional(),
  /** How many free addresses to name. */
  limit: queryInteger({ min: 1, max: FREE_MAX }).default(FREE_DEFAULT),
});
export type IpAvailabilityQuery = z.output<typeof IpAvailabilityQuery>;

const UP_TO = 'No more than 2^53 - 1, however many there are.';

/** `total` is `used`, `reserved` and `available` together. */
const counts = {
  /** From start to end, without the network's own and the broadcast address. */
  total: z.int().describe(UP_TO),
  used: z.int(),
  /** The gateway's, and those that are never given away. */
  reserved: z.int().describe(UP_TO),
  available: z.int().describe(UP_TO),
};
const Counts = z.object(counts);
export type Counts = z.output<typeof Counts>;

export const IpPool = z.object({
  id: z.string(),
  nodeId: z.string(),
  nodeName: z.string(),
  name: z.string(),
  description: z.string(),
  networkName: z.string(),
  driver: Driver,
  parentInterface: z.string().nullable(),
  cidr: z.string(),
  gateway: z.string().nullable(),
  startIp: z.string().nullable(),
  endIp: z.string().nullable(),
  reserved: z.array(z.string()),
  addresses: Counts,
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type IpPool = z.output<typeof IpPool>;

export const IpPoolAllocation = z.object({
  ip: z.string(),
  serverId: z.string(),
  serverName: z.string(),
  createdAt: Timestamp,
});
export type IpPoolAllocation = z.output<typeof IpPoolAllocation>;

export const IpAvailability = z.object({
  poolId: z.string(),
  name: z.string(),
  networkName: z.string(),
  driver: Driver,
  cidr: z.string(),
  ...counts,
  /** The lowest that are free. */
  free: z.array(z.string()),
});
export type IpAvailability = z.output<typeof IpAvailability>;

export const IpPoolResponse = success(IpPool);
export const IpPoolsResponse = successPage(IpPool);
export const IpPoolAllocationsResponse = successPage(IpPoolAllocation);
export const IpAvailabilityResponse = success(z.array(IpAvailability));
