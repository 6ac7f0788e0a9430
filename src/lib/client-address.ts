import type { IncomingMessage } from 'node:http';
import proxyAddress from '@fastify/proxy-addr';

/**
 * Where a request came from that Fastify does not see, read as Fastify reads it.
 * @param trustProxy Whether to believe `X-Forwarded-For`: from everybody, from nobody, or from the listed addresses.
 */
export function createClientAddress(trustProxy: boolean | string): (request: IncomingMessage) => string {
  if (trustProxy === false) return ({ socket }) => socket.remoteAddress ?? '';
  const isTrusted =
    trustProxy === true
      ? () => true
      : proxyAddress.compile(trustProxy.split(',').map((address) => address.trim()));
  return (request) => proxyAddress.all(request, isTrusted).at(-1) ?? '';
}
