import type { LookupAddress } from 'node:dns';
import { type ClientRequest, type IncomingMessage, request as requestByHttp } from 'node:http';
import { request as requestByHttps } from 'node:https';
import type { LookupFunction } from 'node:net';
import { failed, refused, toFailure } from './failures.js';
import type { AddressCheck } from './ip-addresses.js';
import { findAddresses, followRedirect, type Resolve } from './urls.js';

export interface Requesting {
  resolve: Resolve;
  isAllowed: AddressCheck;
  /** Until the name is looked up, and then until there is a connection. */
  connectTimeoutMs: number;
  /** Until the headers of the answer are there, and between pieces of its body. */
  idleTimeoutMs: number;
  signal: AbortSignal;
}

export interface Answer {
  url: URL;
  /** Has a 200. To be read to its end or destroyed. */
  response: IncomingMessage;
}

const REDIRECTS_MAX = 5;
const HEADERS_MAX_BYTES = 16 * 1024;
const REDIRECTS = [301, 302, 303, 307, 308];
const HEADERS = {
  'user-agent': 'Catalyst (fetches files for game servers)',
  accept: '*/*',
  // Bytes as they are: what is packed could become anything while it is unpacked.
  'accept-encoding': 'identity',
  connection: 'close',
};

/** Follows redirects, each looked at as if it had been asked for. Rejects with a FileError. */
export async function fetchAnswer(start: URL, requesting: Requesting): Promise<Answer> {
  let url = start;
  for (let redirects = 0; redirects <= REDIRECTS_MAX; redirects += 1) {
    const response = await ask(url, requesting).catch((error: unknown) => {
      throw toFailure(error);
    });
    const { statusCode = 0, headers } = response;
    if (statusCode === 200) return { url, response };
    response.destroy();
    if (!REDIRECTS.includes(statusCode)) throw failed(`The other side answers with status ${statusCode}.`);
    if (headers.location === undefined) throw failed('The other side redirects without saying where to.');
    url = followRedirect(url, headers.location);
  }
  throw refused(`The other side redirects more than ${REDIRECTS_MAX} times.`);
}

async function ask(url: URL, requesting: Requesting): Promise<IncomingMessage> {
  const { connectTimeoutMs, idleTimeoutMs, signal } = requesting;
  const addresses = await within(findAddresses(url, requesting), {
    timeoutMs: connectTimeoutMs,
    failure: 'The name of the host cannot be looked up now: try again later.',
    signal,
  });
  const { request, connected, answered } = open(url, addresses);
  try {
    await within(connected, {
      timeoutMs: connectTimeoutMs,
      failure: 'There is no connection to the other side: look at the address, or try again later.',
      signal,
    });
    return await within(answered, {
      timeoutMs: idleTimeoutMs,
      failure: 'The other side does not answer.',
      signal,
    });
  } catch (error) {
    request.destroy();
    throw error;
  }
}

interface Opened {
  request: ClientRequest;
  /** With https: once the other side has shown who it is. */
  connected: Promise<void>;
  answered: Promise<IncomingMessage>;
}

/** Connects to these addresses and no others, whatever the name may mean by then. */
function open(url: URL, addresses: LookupAddress[]): Opened {
  const lookup: LookupFunction = (_host, { all }, done) => {
    const [first] = addresses;
    if (all === true) done(null, addresses);
    else done(null, first?.address ?? '', first?.family);
  };
  const isSecure = url.protocol === 'https:';
  // An agent of its own: no connection is used that was made for somebody else.
  const options = { agent: false, lookup, headers: HEADERS, maxHeaderSize: HEADERS_MAX_BYTES };
  const request = (isSecure ? requestByHttps : requestByHttp)(url, options);
  const connected = new Promise<void>((resolve, reject) => {
    request.once('socket', (socket) => socket.once(isSecure ? 'secureConnect' : 'connect', () => resolve()));
    request.once('error', reject);
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve);
    request.once('error', reject);
  });
  // Whoever waits hears of it; nobody may be waiting any more.
  for (const promise of [connected, answered]) promise.catch(() => {});
  request.on('error', () => {});
  request.end();
  return { request, connected, answered };
}

/** Goes on by itself after that: whoever waited stops it. */
function within<Result>(
  work: Promise<Result>,
  { timeoutMs, failure, signal }: { timeoutMs: number; failure: string; signal: AbortSignal },
): Promise<Result> {
  return new Promise((resolve, reject) => {
    const stop = () => reject(toFailure(signal.reason));
    const timer = setTimeout(() => reject(failed(failure)), timeoutMs);
    signal.addEventListener('abort', stop, { once: true });
    if (signal.aborted) stop();
    work.then(resolve, reject).finally(() => {
      clearTimeout(timer);
      signal.removeEventListener('abort', stop);
    });
  });
}
