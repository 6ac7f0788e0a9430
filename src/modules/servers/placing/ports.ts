import type { Prisma } from '../../../generated/prisma/client.js';
import { AppError } from '../../../lib/errors.js';
import { EVERY_ADDRESS, type LockedNode } from './capacity.js';

export interface PortRequest {
  primaryPort: number;
  /** Container port → host port, as the caller wants them. */
  portBindings: Readonly<Record<string, number>> | undefined;
  /** The template's, in its order: the first is what the primary port stands for. */
  templatePorts: readonly { internal: number }[];
  networkMode: string;
}

export interface PortChoice {
  containerPort: number;
  hostIp: string;
  hostPort: number;
  isPrimary: boolean;
}

/**
 * Chooses the host ports of a new server. The node is locked, so what is free now is free at the commit.
 * @param ipAddress Of a server with an address of its own: its ports are ports of that address.
 */
export async function choosePorts(
  transaction: Prisma.TransactionClient,
  node: LockedNode,
  { ipAddress, ...request }: PortRequest & { ipAddress: string | null },
): Promise<PortChoice[]> {
  if (ipAddress !== null) return ownPorts(ipAddress, request);
  return assignPorts(node, await takenPorts(transaction, node.id), request);
}

/**
 * Gives a server ports on another node, which is locked: the same where they are free, others where they are not.
 * In the node's own network there are no others.
 */
export async function movePorts(
  transaction: Prisma.TransactionClient,
  target: LockedNode,
  server: { serverId: string; networkMode: string; ipAddress: string | null },
): Promise<void> {
  const { serverId, networkMode, ipAddress } = server;
  const ports = await transaction.allocation.findMany({ where: { serverId }, orderBy: { hostPort: 'asc' } });
  const taken = await takenPorts(transaction, target.id);
  for (const { id, hostPort, containerPort } of ports) {
    const place =
      ipAddress === null
        ? { hostIp: EVERY_ADDRESS, hostPort: takeFree(target, taken, hostPort, { networkMode }) }
        : { hostIp: ipAddress, hostPort: containerPort };
    await transaction.allocation.update({ where: { id }, data: { ...place, nodeId: target.id } });
  }
}

/** The ports of a node that servers hold. Those on addresses of pools are nobody else's business. */
async function takenPorts(transaction: Prisma.TransactionClient, nodeId: string): Promise<Set<number>> {
  const rows = await transaction.allocation.findMany({
    where: { nodeId, hostIp: EVERY_ADDRESS },
    select: { hostPort: true },
  });
  return new Set(rows.map(({ hostPort }) => hostPort));
}

type PortRange = Pick<LockedNode, 'portRangeStart' | 'portRangeEnd'>;

/** @param taken Host ports that other servers hold; those that are chosen are added. */
export function assignPorts(node: PortRange, taken: Set<number>, request: PortRequest): PortChoice[] {
  const explicit = explicitPorts(request);
  for (const [containerPort, hostPort] of explicit)
    takeExplicit(node, taken, { containerPort, hostPort, request });
  return containerPorts(request).map((containerPort) => ({
    containerPort,
    hostIp: EVERY_ADDRESS,
    hostPort: explicit.get(containerPort) ?? takeFree(node, taken, containerPort, request),
    isPrimary: containerPort === request.primaryPort,
  }));
}

/** Nothing is published: whoever knows the address reaches the container's ports themselves. */
function ownPorts(hostIp: string, request: PortRequest): PortChoice[] {
  for (const [containerPort, hostPort] of explicitPorts(request)) {
    if (containerPort === hostPort) continue;
    throw new AppError(
      'request.invalid',
      `portBindings: in the network "${request.networkMode}" container and host ports are the same.`,
    );
  }
  return containerPorts(request).map((containerPort) => ({
    containerPort,
    hostIp,
    hostPort: containerPort,
    isPrimary: containerPort === request.primaryPort,
  }));
}

function explicitPorts({ portBindings }: PortRequest): Map<number, number> {
  const ports = new Map(
    Object.entries(portBindings ?? {}).map(([containerPort, hostPort]) => [Number(containerPort), hostPort]),
  );
  if (new Set(ports.values()).size < ports.size) {
    throw new AppError('request.invalid', 'portBindings gives one host port to several container ports.');
  }
  return ports;
}

/** The primary port first; without bindings of the caller, the template's other ports after it. */
function containerPorts({ primaryPort, portBindings, templatePorts }: PortRequest): number[] {
  if (portBindings) return [...new Set([primaryPort, ...Object.keys(portBindings).map(Number)])];
  const internal = templatePorts.map((port) => port.internal);
  const others = internal.includes(primaryPort) ? internal : internal.slice(1);
  return [...new Set([primaryPort, ...others])];
}

function takeExplicit(
  node: PortRange,
  taken: Set<number>,
  { containerPort, hostPort, request }: { containerPort: number; hostPort: number; request: PortRequest },
): void {
  requireInRange(node, hostPort);
  if (request.networkMode === 'host' && containerPort !== hostPort) {
    throw new AppError('request.invalid', 'With networkMode "host" container and host ports are the same.');
  }
  if (taken.has(hostPort)) throw portTaken(hostPort);
  taken.add(hostPort);
}

function takeFree(
  node: PortRange,
  taken: Set<number>,
  wanted: number,
  request: Pick<PortRequest, 'networkMode'>,
): number {
  if (request.networkMode === 'host') requireInRange(node, wanted);
  const port = findFree(node, taken, wanted);
  if (request.networkMode === 'host' && port !== wanted) throw portTaken(wanted);
  if (port === null) {
    throw new AppError(
      'node.insufficient_resources',
      'Node does not have enough resources: no port is left.',
    );
  }
  taken.add(port);
  return port;
}

/** The wanted port, or the next free one above it, or else the first from the start of the range. */
function findFree(
  { portRangeStart: start, portRangeEnd: end }: PortRange,
  taken: ReadonlySet<number>,
  wanted: number,
): number | null {
  const size = end - start + 1;
  const first = wanted >= start && wanted <= end ? wanted : start;
  for (let step = 0; step < size; step += 1) {
    const port = start + ((first - start + step) % size);
    if (!taken.has(port)) return port;
  }
  return null;
}

function requireInRange({ portRangeStart, portRangeEnd }: PortRange, port: number): void {
  if (port >= portRangeStart && port <= portRangeEnd) return;
  throw new AppError(
    'allocation.port_out_of_range',
    `Port ${port} is outside the port range of the node (${portRangeStart}–${portRangeEnd}).`,
  );
}

function portTaken(port: number): AppError {
  return new AppError('allocation.port_taken', `Port ${port} is in use by another server on this node.`);
}
