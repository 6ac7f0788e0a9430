import { AppError } from '../../lib/errors.js';
import {
  type Cidr,
  canonicalIp,
  containsIp,
  countIps,
  formatCidr,
  type IpRange,
  parseCidr,
  parseIp,
} from '../../lib/ip-range.js';

/** What makes the network of a pool, and which of its addresses are given away. */
export interface PoolNetwork extends IpRange {
  driver: 'bridge' | 'macvlan' | 'ipvlan';
  parentInterface: string | null;
  reserved: string[];
}

/** The same in its canonical form. Throws `ip_pool.invalid`, naming the field, when it makes no sense. */
export function checkPoolNetwork(pool: PoolNetwork): PoolNetwork {
  const { driver, parentInterface } = pool;
  if (driver === 'bridge' && parentInterface !== null)
    refuse('parentInterface', 'is for macvlan and ipvlan only');
  if (driver !== 'bridge' && parentInterface === null)
    refuse('parentInterface', `has to be given for ${driver}`);
  const cidr = checkCidr(pool.cidr);
  const checked = {
    driver,
    parentInterface,
    cidr: formatCidr(cidr),
    gateway: pool.gateway === null ? null : addressIn(cidr, 'gateway', pool.gateway),
    startIp: pool.startIp === null ? null : addressIn(cidr, 'startIp', pool.startIp),
    endIp: pool.endIp === null ? null : addressIn(cidr, 'endIp', pool.endIp),
    reserved: [...new Set(pool.reserved.map((text) => reservedIn(cidr, text)))],
  };
  if (isAfter(checked.startIp, checked.endIp)) refuse('endIp', 'must not be before startIp');
  const { total, reserved } = countIps(checked);
  if (total <= reserved) refuse('cidr', 'leaves no address that could be given to a server');
  return checked;
}

function checkCidr(text: string): Cidr {
  const cidr = parseCidr(text);
  if (!cidr) refuse('cidr', 'must be a network such as 192.0.2.0/24 or 2001:db8::/64');
  if (cidr.address !== cidr.first) refuse('cidr', `is not the address of a network: ${formatCidr(cidr)} is`);
  return cidr;
}

function addressIn(cidr: Cidr, field: string, text: string): string {
  const address = parseIp(text);
  if (!address) refuse(field, `${text} is not an IP address`);
  if (!containsIp(cidr, address)) refuse(field, `${text} is not inside ${formatCidr(cidr)}`);
  return canonicalIp(text) ?? text;
}

/** An address or a network. */
function reservedIn(cidr: Cidr, text: string): string {
  const network = parseCidr(text);
  if (!network) return addressIn(cidr, 'reserved', text);
  if (network.version !== cidr.version || network.first < cidr.first || network.last > cidr.last) {
    refuse('reserved', `${text} is not inside ${formatCidr(cidr)}`);
  }
  return formatCidr(network);
}

/** Both are inside one network. */
function isAfter(first: string | null, second: string | null): boolean {
  const [a, b] = [first, second].map((text) => (text === null ? null : parseIp(text)));
  return Boolean(a && b && a.value > b.value);
}

function refuse(field: string, problem: string): never {
  throw new AppError('ip_pool.invalid', `body.${field}: ${problem}`);
}
