import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { failed, refused } from './failures.js';
import type { AddressCheck } from './ip-addresses.js';

/** All addresses of a host. */
export type Resolve = (host: string) => Promise<LookupAddress[]>;

export const resolveBySystem: Resolve = (host) => lookup(host, { all: true, order: 'verbatim' });

/** @throws FileError when it is nothing that is fetched. */
export function parseUrl(text: string): URL {
  if (!URL.canParse(text)) throw refused('This is not the address of a file: https://example.com/file.zip');
  return checkUrl(new URL(text));
}

/** Where a redirect leads. @throws FileError when that is nothing that is fetched from there. */
export function followRedirect(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) throw failed('The other side redirects to what is no address.');
  const to = checkUrl(new URL(location, from));
  if (from.protocol === 'https:' && to.protocol === 'http:') {
    throw refused('The other side redirects from https to http, where anybody could change the file.');
  }
  return to;
}

function checkUrl(url: URL): URL {
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused('Files are fetched by http or https only.');
  }
  if (url.username !== '' || url.password !== '') {
    throw refused('The address must not have a user name or a password in it.');
  }
  url.hash = '';
  return url;
}

/**
 * Where to connect to. The name is looked up once, here, and what comes of it is connected to: a second look could get
 * another answer. One address that is refused refuses them all, because nobody honest mixes them.
 */
export async function findAddresses(
  url: URL,
  { resolve, isAllowed }: { resolve: Resolve; isAllowed: AddressCheck },
): Promise<LookupAddress[]> {
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const family = isIP(host);
  const found = family === 0 ? await resolve(host) : [{ address: host, family }];
  if (found.length === 0) throw failed('There is no such host: look at the address for a typing error.');
  if (found.every(({ address }) => isAllowed(address))) return found;
  throw refused('The address is not a public one: files are fetched from the internet only.');
}
