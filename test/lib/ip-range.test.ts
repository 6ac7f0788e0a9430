import { expect, test } from 'vitest';
import {
  canonicalIp,
  containsIp,
  countIps,
  firstFreeIp,
  formatCidr,
  freeIps,
  type IpRange,
  isUsableIp,
  overlaps,
  parseCidr,
  parseIp,
} from '../../src/lib/ip-range.js';

function range(cidr: string, fields: Partial<IpRange> = {}): IpRange {
  return { cidr, gateway: null, startIp: null, endIp: null, reserved: [], ...fields };
}

function cidr(text: string) {
  const parsed = parseCidr(text);
  if (!parsed) throw new Error(`${text} is not a network`);
  return parsed;
}

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['255.255.255.255', '255.255.255.255'],
  ['0.0.0.0', '0.0.0.0'],
  ['::', '::'],
  ['::1', '::1'],
  ['1::', '1::'],
  ['2001:0DB8:0000:0000:0000:0000:0000:0001', '2001:db8::1'],
  ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
  ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
  ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
  ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
  ['1:2:3:4:5:6:7::', '1:2:3:4:5:6:7:0'],
  ['ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff', 'ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff'],
])('%s is written %s', (text, canonical) => {
  expect(canonicalIp(text)).toBe(canonical);
  expect(canonicalIp(canonical)).toBe(canonical);
});

test.each([
  '',
  'x',
  '192.0.2',
  '192.0.2.256',
  '192.0.2.01',
  '0x7f.0.0.1',
  ' 192.0.2.1',
  '192.0.2.1\n',
  '192.0.2.1/24',
  ':::',
  '1::2::3',
  '12345::',
  'fe80::1%eth0',
  '::ffff:192.0.2.1',
  '[::1]',
])('%j is not an address', (text) => {
  expect(parseIp(text)).toBe(null);
});

test.each([
  ['10.1.2.0/24', '10.1.2.0/24'],
  ['10.1.2.3/24', '10.1.2.0/24'],
  ['10.1.2.3/0', '0.0.0.0/0'],
  ['10.1.2.3/32', '10.1.2.3/32'],
  ['2001:db8::5/64', '2001:db8::/64'],
  ['2001:DB8::/127', '2001:db8::/127'],
])('the network of %s is %s', (text, network) => {
  const parsed = cidr(text);
  expect(formatCidr(parsed)).toBe(network);
  expect(parsed.address === parsed.first).toBe(
    cidr(network).first === parseIp(text.split('/')[0] ?? '')?.value,
  );
});

test.each([
  '10.0.0.0',
  '10.0.0.0/33',
  '10.0.0.0/',
  '10.0.0.0/-1',
  '10.0.0.0/08',
  '::/129',
  '/24',
  'a/b/c',
  '10.0.0.0/8/8',
])('%j is not a network', (text) => {
  expect(parseCidr(text)).toBe(null);
});

test.each([
  ['10.0.0.0/24', '10.0.0.128/25', true],
  ['10.0.0.0/24', '10.0.1.0/24', false],
  ['10.0.0.0/8', '10.255.255.0/24', true],
  ['2001:db8::/32', '2001:db8:1::/48', true],
  ['0.0.0.0/0', '::/0', false],
])('%s and %s overlap: %s', (a, b, expected) => {
  expect(overlaps(cidr(a), cidr(b))).toBe(expected);
  expect(overlaps(cidr(b), cidr(a))).toBe(expected);
});

test('an address of the other family is in no network', () => {
  const inside = (network: string, ip: string) => {
    const address = parseIp(ip);
    return address !== null && containsIp(cidr(network), address);
  };
  expect(inside('0.0.0.0/0', '::1')).toBe(false);
  expect(inside('::/0', '1.2.3.4')).toBe(false);
  expect(inside('::/0', '1::')).toBe(true);
});

test.each<[string, IpRange, string[], string | null]>([
  ['network and gateway are kept', range('10.0.0.0/24', { gateway: '10.0.0.1' }), [], '10.0.0.2'],
  ['Docker takes the first when no gateway is named', range('10.0.0.0/24'), [], '10.0.0.2'],
  ['another gateway leaves the first free', range('10.0.0.0/24', { gateway: '10.0.0.254' }), [], '10.0.0.1'],
  ['what is taken is jumped over', range('10.0.0.0/24'), ['10.0.0.2', '10.0.0.4'], '10.0.0.3'],
  [
    'what is reserved too',
    range('10.0.0.0/24', { reserved: ['10.0.0.2', '10.0.0.4/30'] }),
    ['10.0.0.3'],
    '10.0.0.8',
  ],
  ['from its start', range('10.0.0.0/24', { startIp: '10.0.0.100' }), [], '10.0.0.100'],
  ['to its end', range('10.0.0.0/24', { endIp: '10.0.0.3' }), ['10.0.0.2', '10.0.0.3'], null],
  ['no broadcast address', range('10.0.0.0/30'), ['10.0.0.2'], null],
  ['two addresses have no broadcast', range('10.0.0.0/31', { gateway: '10.0.0.0' }), [], '10.0.0.1'],
  ['one address that is the gateway', range('10.0.0.7/32'), [], null],
  ['one address and a gateway elsewhere', range('10.0.0.7/32', { gateway: '10.0.0.1' }), [], '10.0.0.7'],
  ['IPv6 has no broadcast', range('2001:db8::/126'), ['2001:db8::2'], '2001:db8::3'],
  ['IPv6 full', range('2001:db8::/126'), ['2001:db8::2', '2001:db8::3'], null],
  ['one IPv6 address is the network itself', range('2001:db8::/128'), [], null],
  [
    'a whole half is reserved',
    range('2001:db8::/64', { reserved: ['2001:db8::/65'] }),
    [],
    '2001:db8:0:0:8000::',
  ],
  ['addresses of the other family do not matter', range('10.0.0.0/24'), ['::2'], '10.0.0.2'],
  [
    'the very last address there is',
    range('255.255.255.254/31', { gateway: '255.255.255.254' }),
    [],
    '255.255.255.255',
  ],
])('the first free address: %s', (_, pool, taken, expected) => {
  expect(firstFreeIp(pool, new Set(taken))).toBe(expected);
  if (expected !== null) expect(isUsableIp(pool, expected)).toBe(true);
});

test('of a small network exactly the addresses that may be used are given, each once', () => {
  const pool = range('10.0.0.0/28', { startIp: '10.0.0.2', endIp: '10.0.0.12', reserved: ['10.0.0.8/31'] });
  const taken = new Set<string>();
  for (let ip = firstFreeIp(pool, taken); ip !== null; ip = firstFreeIp(pool, taken)) taken.add(ip);
  const usable = Array.from({ length: 16 }, (_, last) => `10.0.0.${last}`).filter((ip) =>
    isUsableIp(pool, ip),
  );
  expect([...taken]).toEqual(usable);
  expect(usable.map((ip) => Number(ip.split('.')[3]))).toEqual([2, 3, 4, 5, 6, 7, 10, 11, 12]);
  expect(countIps(pool)).toEqual({ total: 11n, reserved: 2n });
});

test.each<[string, IpRange, bigint, bigint]>([
  ['10.0.0.0/24', range('10.0.0.0/24'), 254n, 1n],
  ['10.0.0.0/31', range('10.0.0.0/31'), 2n, 1n],
  ['2001:db8::/64', range('2001:db8::/64'), 2n ** 64n - 1n, 1n],
  [
    'overlapping reservations',
    range('10.0.0.0/24', { reserved: ['10.0.0.0/25', '10.0.0.5', '10.0.0.64/26'] }),
    254n,
    127n,
  ],
  [
    'reserved outside of start and end',
    range('10.0.0.0/24', { startIp: '10.0.0.200', reserved: ['10.0.0.5'] }),
    55n,
    0n,
  ],
])('counts %s', (_, pool, total, reserved) => {
  expect(countIps(pool)).toEqual({ total, reserved });
});

test('10,000 addresses taken out of a /64 cost no more than sorting them', () => {
  const pool = range('2001:db8::/64');
  const taken = new Set(
    Array.from({ length: 10_000 }, (_, index) => `2001:db8::${(index + 2).toString(16)}`),
  );
  const startedAt = performance.now();
  expect(freeIps(pool, taken, 3)).toEqual(['2001:db8::2712', '2001:db8::2713', '2001:db8::2714']);
  expect(performance.now() - startedAt).toBeLessThan(2000);
});

test('what is not an address is never usable', () => {
  expect(isUsableIp(range('10.0.0.0/24'), 'x')).toBe(false);
  expect(isUsableIp(range('10.0.0.0/24'), '::')).toBe(false);
  expect(isUsableIp(range('10.0.0.0/24'), '10.0.1.2')).toBe(false);
});
