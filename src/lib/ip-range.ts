import { isIPv4, isIPv6 } from 'node:net';

export interface IpAddress {
  version: 4 | 6;
  value: bigint;
}

export interface Cidr {
  version: 4 | 6;
  prefixLength: number;
  /** As it was written: not `first` when bits of the host are set. */
  address: bigint;
  first: bigint;
  last: bigint;
}

/** Which addresses of a network are given away; every text is canonical. */
export interface IpRange {
  cidr: string;
  /** Null: Docker takes the first address of the network for itself. */
  gateway: string | null;
  /** Null: from the first address, to the last. */
  startIp: string | null;
  endIp: string | null;
  /** Addresses and CIDRs. */
  reserved: readonly string[];
}

/** From a first to a last address, both included. */
interface Span {
  first: bigint;
  last: bigint;
}

const BITS = { 4: 32, 6: 128 } as const;
/** IPv4 inside IPv6, `::ffff:192.0.2.1`: the same address would have two names. */
const MAPPED_PREFIX = 0xffffn;

/** Null for what is not an address; also for zones (`%eth0`) and IPv4 addresses in IPv6 notation. */
export function parseIp(text: string): IpAddress | null {
  if (isIPv4(text)) return { version: 4, value: joinBits(text.split('.').map(Number), 8n) };
  if (!isIPv6(text) || text.includes('%')) return null;
  const [head = '', tail] = text.split('::');
  const left = groupsOf(head);
  const right = groupsOf(tail ?? '');
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => 0);
  const value = joinBits([...left, ...zeros, ...right], 16n);
  return value >> 32n === MAPPED_PREFIX ? null : { version: 6, value };
}

/** Canonical: RFC 5952 for IPv6. */
export function formatIp({ version, value }: IpAddress): string {
  if (version === 4) return splitBits(value, 4, 8n).join('.');
  const words = splitBits(value, 8, 16n).map((group) => group.toString(16));
  const zeros = longestZeros(words);
  if (zeros.length < 2) return words.join(':');
  return `${words.slice(0, zeros.start).join(':')}::${words.slice(zeros.start + zeros.length).join(':')}`;
}

/** The one way to write an address; null for what is not one. */
export function canonicalIp(text: string): string | null {
  const address = parseIp(text);
  return address && formatIp(address);
}

/** `192.0.2.0/24`, `2001:db8::/64`; null for anything else. */
export function parseCidr(text: string): Cidr | null {
  const [, ip = '', prefix = ''] = /^([^/]+)\/(0|[1-9]\d{0,2})$/.exec(text) ?? [];
  const address = parseIp(ip);
  const prefixLength = Number(prefix);
  if (!address || prefixLength > BITS[address.version]) return null;
  const size = 1n << BigInt(BITS[address.version] - prefixLength);
  const first = address.value - (address.value % size);
  return { version: address.version, prefixLength, address: address.value, first, last: first + size - 1n };
}

/** Of the network, whatever bits of the host were set. */
export function formatCidr({ version, first, prefixLength }: Cidr): string {
  return `${formatIp({ version, value: first })}/${prefixLength}`;
}

export function containsIp(cidr: Cidr, ip: IpAddress): boolean {
  return ip.version === cidr.version && ip.value >= cidr.first && ip.value <= cidr.last;
}

export function overlaps(a: Cidr, b: Cidr): boolean {
  return a.version === b.version && a.first <= b.last && b.first <= a.last;
}

/** Whether the address may be given to a server, taken or not. */
export function isUsableIp(range: IpRange, ip: string): boolean {
  return unusableIps(range, [ip]).length === 0;
}

/** Those that may not be given to a server. */
export function unusableIps(range: IpRange, ips: readonly string[]): string[] {
  const { version, offered, blocked } = read(range);
  return ips.filter((ip) => {
    const address = parseIp(ip);
    if (!address || address.version !== version || !isWithin(offered, address.value)) return true;
    return blocked.some((span) => isWithin(span, address.value));
  });
}

/** The lowest address that nobody holds. @param taken Canonical addresses. */
export function firstFreeIp(range: IpRange, taken: ReadonlySet<string>): string | null {
  return freeIps(range, taken, 1)[0] ?? null;
}

/** The lowest free addresses, in time that depends on what is taken and not on the size of the network. */
export function freeIps(range: IpRange, taken: ReadonlySet<string>, limit: number): string[] {
  const { version, offered, blocked } = read(range);
  const held = [...taken].flatMap((ip) => parseIp(ip) ?? []).filter((ip) => ip.version === version);
  const closed = merge([...blocked, ...held.map(({ value }) => ({ first: value, last: value }))]);
  const free: string[] = [];
  let next = offered.first;
  for (const span of [...closed, { first: offered.last + 1n, last: offered.last + 1n }]) {
    while (next < span.first && next <= offered.last && free.length < limit) {
      free.push(formatIp({ version, value: next }));
      next += 1n;
    }
    if (span.last >= next) next = span.last + 1n;
  }
  return free;
}

/** How many addresses there are from start to end, and how many of them are the gateway's or reserved. */
export function countIps(range: IpRange): { total: bigint; reserved: bigint } {
  const { offered, blocked } = read(range);
  let reserved = 0n;
  for (const span of merge(blocked)) reserved += size(intersection(span, offered));
  return { total: size(offered), reserved };
}

function read(range: IpRange): { version: 4 | 6; offered: Span; blocked: Span[] } {
  const cidr = parseCidr(range.cidr);
  if (!cidr) throw new Error(`Not a network: ${range.cidr}`);
  const hosts = hostsOf(cidr);
  const gateway = ipValue(range.gateway) ?? hosts.first;
  const offered = intersection(hosts, {
    first: ipValue(range.startIp) ?? hosts.first,
    last: ipValue(range.endIp) ?? hosts.last,
  });
  const reserved = range.reserved.flatMap((text) => spanOf(text) ?? []);
  return { version: cidr.version, offered, blocked: [{ first: gateway, last: gateway }, ...reserved] };
}

/** As Docker counts them: without the network's own address and, for IPv4, without the broadcast address. */
function hostsOf({ version, first, last }: Cidr): Span {
  if (version === 6) return { first: first + 1n, last };
  // RFC 3021: a network of two addresses or one has neither.
  return last - first < 2n ? { first, last } : { first: first + 1n, last: last - 1n };
}

/** Of an address or a CIDR. */
function spanOf(text: string): Span | null {
  const value = ipValue(text);
  return value === null ? parseCidr(text) : { first: value, last: value };
}

function ipValue(text: string | null): bigint | null {
  return text === null ? null : (parseIp(text)?.value ?? null);
}

function isWithin({ first, last }: Span, value: bigint): boolean {
  return value >= first && value <= last;
}

function intersection(a: Span, b: Span): Span {
  const { first } = a.first < b.first ? b : a;
  const { last } = a.last < b.last ? a : b;
  return { first, last };
}

function size({ first, last }: Span): bigint {
  return last < first ? 0n : last - first + 1n;
}

/** Sorted, and none touching another. */
function merge(spans: readonly Span[]): Span[] {
  const sorted = [...spans].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const merged: Span[] = [];
  for (const span of sorted) {
    const before = merged.at(-1);
    if (!before || span.first > before.last + 1n) merged.push({ first: span.first, last: span.last });
    else if (span.last > before.last) before.last = span.last;
  }
  return merged;
}

/** The last of them may be written as IPv4: two groups. */
function groupsOf(text: string): number[] {
  if (text === '') return [];
  return text.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)];
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number);
    return [a * 256 + b, c * 256 + d];
  });
}

function joinBits(parts: readonly number[], bits: bigint): bigint {
  return parts.reduce((value, part) => (value << bits) | BigInt(part), 0n);
}

function splitBits(value: bigint, count: number, bits: bigint): number[] {
  const mask = (1n << bits) - 1n;
  return Array.from({ length: count }, (_, index) =>
    Number((value >> (BigInt(count - 1 - index) * bits)) & mask),
  );
}

/** The first of the longest runs. */
function longestZeros(words: readonly string[]): { start: number; length: number } {
  let longest = { start: 0, length: 0 };
  let start = 0;
  words.forEach((word, index) => {
    if (word !== '0') start = index + 1;
    else if (index + 1 - start > longest.length) longest = { start, length: index + 1 - start };
  });
  return longest;
}
