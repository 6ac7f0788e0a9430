import { isIPv6 } from 'node:net';

/** Of everybody, and of one address. */
const CONNECTIONS_MAX = 1000;
const CONNECTIONS_PER_ADDRESS_MAX = 100;
/** That have not signed in yet: a login costs a key exchange. */
const UNAUTHENTICATED_MAX = 100;
const UNAUTHENTICATED_PER_ADDRESS_MAX = 20;
/**
 * From so many of them on, some are turned away, and the more there are the more: a flood from many addresses does
 * not keep out everybody else, as OpenSSH has it with its MaxStartups.
 */
const UNAUTHENTICATED_CROWD = 50;
const CROWD_REFUSAL_CHANCE = 0.3;
const CONNECTIONS_PER_USER_MAX = 100;
/** Of an IPv6 address: whoever has one has 2⁶⁴ of them. */
const NETWORK_GROUPS = 4;
const ALL_GROUPS = 8;

export interface AdmittedConnection {
  /** As `networkOf` gives it. */
  readonly network: string;
  /** Undefined until he has signed in. */
  userId(): string | undefined;
}

/**
 * Whether another connection from the network is let in, before anything of SSH is done for it.
 * @param chance From 0 to 1, at random.
 */
export function isAdmitted(
  connections: Iterable<AdmittedConnection>,
  network: string,
  chance: number,
): boolean {
  let all = 0;
  let unauthenticated = 0;
  let neighbours = 0;
  let unauthenticatedNeighbours = 0;
  for (const connection of connections) {
    const isUnauthenticated = connection.userId() === undefined;
    const isNeighbour = connection.network === network;
    all += 1;
    if (isUnauthenticated) unauthenticated += 1;
    if (isNeighbour) neighbours += 1;
    if (isUnauthenticated && isNeighbour) unauthenticatedNeighbours += 1;
  }
  return (
    all < CONNECTIONS_MAX &&
    neighbours < CONNECTIONS_PER_ADDRESS_MAX &&
    unauthenticatedNeighbours < UNAUTHENTICATED_PER_ADDRESS_MAX &&
    chance >= refusalChance(unauthenticated)
  );
}

/** None below a crowd, then growing until nobody is let in. */
function refusalChance(unauthenticated: number): number {
  if (unauthenticated < UNAUTHENTICATED_CROWD) return 0;
  const crowding = Math.min(
    1,
    (unauthenticated - UNAUTHENTICATED_CROWD) / (UNAUTHENTICATED_MAX - UNAUTHENTICATED_CROWD),
  );
  return unauthenticated >= UNAUTHENTICATED_MAX
    ? Number.POSITIVE_INFINITY
    : CROWD_REFUSAL_CHANCE + (1 - CROWD_REFUSAL_CHANCE) * crowding;
}

/** Whether the user may have another connection. */
export function hasPlace(connections: Iterable<AdmittedConnection>, userId: string): boolean {
  let count = 0;
  for (const connection of connections) if (connection.userId() === userId) count += 1;
  return count < CONNECTIONS_PER_USER_MAX;
}

/** What of an address tells one client from another: all of IPv4, the first half of IPv6. */
export function networkOf(address: string): string {
  if (!isIPv6(address) || address.includes('.')) return address.replace(/^::ffff:/i, '');
  const [head = '', tail] = address.replace(/%.*$/, '').split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const missing = tail === undefined ? 0 : ALL_GROUPS - before.length - after.length;
  const groups = [...before, ...Array<string>(missing).fill('0'), ...after];
  return groups
    .slice(0, NETWORK_GROUPS)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(':');
}
