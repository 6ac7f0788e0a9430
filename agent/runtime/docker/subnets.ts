import { BlockList, isIP } from 'node:net';

const FAMILIES = { 4: 'ipv4', 6: 'ipv6' } as const;
const BITS = { 4: 32, 6: 128 } as const;

type Version = 4 | 6;

/** An address and how many of its bits are the network's. */
interface Subnet {
  address: string;
  prefix: number;
  version: Version;
}

/** Null: not written like one. */
export function parseSubnet(cidr: string): Subnet | null {
  const [, address = '', prefixText = ''] = /^([0-9a-fA-F.:]+)\/(\d{1,3})$/.exec(cidr) ?? [];
  const version = versionOf(address);
  const prefix = Number(prefixText);
  return version === null || prefixText === '' || prefix > BITS[version]
    ? null
    : { address, prefix, version };
}

function versionOf(address: string): Version | null {
  const version = isIP(address);
  return version === 4 || version === 6 ? version : null;
}

export function isInSubnet(address: string, cidr: string): boolean {
  const subnet = parseSubnet(cidr);
  const version = versionOf(address);
  if (subnet === null || version !== subnet.version) return false;
  const list = new BlockList();
  list.addSubnet(subnet.address, subnet.prefix, FAMILIES[version]);
  return list.check(address, FAMILIES[version]);
}

/** Whether both are the same network, however they are written. */
export function isSameSubnet(first: string, second: string): boolean {
  const [one, other] = [parseSubnet(first), parseSubnet(second)];
  if (one === null || other === null) return false;
  return one.prefix === other.prefix && isInSubnet(other.address, first);
}

/** Whether both are the same address, however they are written. */
export function isSameAddress(first: string, second: string): boolean {
  const version = versionOf(first);
  return version !== null && isInSubnet(second, `${first}/${BITS[version]}`);
}

export function isIpv6(address: string): boolean {
  return isIP(address) === 6;
}
