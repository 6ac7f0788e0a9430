import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

/** Whether something may be fetched from this IP address. What is no address is not. */
export type AddressCheck = (address: string) => boolean;

/**
 * Special-purpose addresses, by IANA's registries: of this machine or network, of carriers, for tests, for many receivers,
 * for transition.
 */
const REFUSED_V4 = [
  '0.0.0.0/8',
  '10.0.0.0/8',
  '100.64.0.0/10',
  '127.0.0.0/8',
  '169.254.0.0/16',
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24',
  '192.88.99.0/24',
  '192.168.0.0/16',
  '198.18.0.0/15',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '224.0.0.0/4',
  '240.0.0.0/4',
  // Looks public, but is a service of Azure's machines with themselves: it knows their secrets.
  '168.63.129.16/32',
];
/** Everything else is special: forms of IPv4 addresses (::ffff:0:0/96, 64:ff9b::/96), link-local, unique-local, multicast. */
const PUBLIC_V6 = ['2000::/3'];
/** Teredo, benchmarks and the like; documentation; 6to4, which has any IPv4 address in it. */
const REFUSED_V6 = ['2001::/23', '2001:db8::/32', '2002::/16', '3fff::/20'];

const refused = toBlockList([...REFUSED_V4, ...REFUSED_V6]);
const publicV6 = toBlockList(PUBLIC_V6);

/**
 * @param allowedNetworks In CIDR notation: they are taken though they are not public.
 * @param ownAddresses Of this machine. What listens here may count on not being reached from here by others: firewalls look
 *   at where one comes from.
 */
export function createAddressCheck(
  allowedNetworks: string[],
  ownAddresses: () => string[] = addressesOfInterfaces,
): AddressCheck {
  const allowed = toBlockList(allowedNetworks);
  return (address) => {
    const family = familyOf(address);
    if (family === null) return false;
    if (allowed.check(address, family)) return true;
    return isPublic(address, family) && !ownAddresses().includes(address);
  };
}

function addressesOfInterfaces(): string[] {
  return Object.values(networkInterfaces()).flatMap((found) => found?.map(({ address }) => address) ?? []);
}

/** Whether each is in CIDR notation. */
export function areNetworks(networks: string[]): boolean {
  return networks.every((network) => {
    const [address = '', prefix = '', ...rest] = network.split('/');
    const family = familyOf(address);
    const bits = family === 'ipv4' ? 32 : 128;
    return family !== null && rest.length === 0 && /^\d{1,3}$/.test(prefix) && Number(prefix) <= bits;
  });
}

function toBlockList(networks: string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = '', prefix = ''] = network.split('/');
    list.addSubnet(address, Number(prefix), familyOf(address) ?? 'ipv4');
  }
  return list;
}

function isPublic(address: string, family: 'ipv4' | 'ipv6'): boolean {
  return (family === 'ipv4' || publicV6.check(address, family)) && !refused.check(address, family);
}

/** An address with a zone (`fe80::1%eth0`) is of one network only: none for us. */
function familyOf(address: string): 'ipv4' | 'ipv6' | null {
  const version = address.includes('%') ? 0 : isIP(address);
  return version === 0 ? null : version === 4 ? 'ipv4' : 'ipv6';
}
