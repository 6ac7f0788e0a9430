import type { Prisma } from '../../generated/prisma/client.js';
import { AppError } from '../../lib/errors.js';
import type { LockedNode } from './capacity.js';

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
  hostPort: number;
  isPrimary: boolean;
}

/** Chooses the host ports of a new server. The node is locked, so what is free now is free at the commit. */
export async function choosePorts(
  transaction: Prisma.TransactionClient,
  node: LockedNode,
  request: PortRequest,
): Promise<PortChoice[]> {
  const rows = await transaction.allocation.findMany({
    where: { nodeId: node.id },
    select: { hostPort: true },
  });
  return assignPorts(node, new Set(rows.map(({ hostPort }) => hostPort)), request);
}

type PortRange = Pick<LockedNode, 'portRangeStart' | 'portRangeEnd'>;

/** @param taken Host ports that other servers hold; those that are chosen are added. */
export function assignPorts(node: PortRange, taken: Set<number>, request: PortRequest): PortChoice[] {
  const explicit = explicitPorts(request);
  for (const [containerPort, hostPort] of explicit)
    takeExplicit(node, taken, { containerPort, hostPort, request });
  return containerPorts(request).map((containerPort) => ({
    containerPort,
    hostPort: explicit.get(containerPort) ?? takeFree(node, taken, containerPort, request),
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

function takeFree(node: PortRange, taken: Set<number>, wanted: number, request: PortRequest): number {
  if (request.networkMode === 'host') requireInRange(node, wanted);
  const { portRangeStart: start, portRangeEnd: end } = node;
  const size = end - start + 1;
  const first = wanted >= start && wanted <= end ? wanted : start;
  // From the wanted port up, and then from the start of the range.
  for (let step = 0; step < size; step += 1) {
    const port = start + ((first - start + step) % size);
    if (taken.has(port)) {
      if (request.networkMode === 'host') throw portTaken(port);
      continue;
    }
    taken.add(port);
    return port;
  }
  throw new AppError('node.insufficient_resources', 'Node does not have enough resources: no port is left.');
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
