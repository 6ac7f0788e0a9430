import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import type { Context } from '../context.js';
import type { Origin, UserActor } from '../lib/actor.js';
import { createClientAddress } from '../lib/client-address.js';
import { AppError } from '../lib/errors.js';
import { refuseUpgrade } from '../lib/refuse-upgrade.js';
import { closeAll } from '../lib/web-sockets.js';
import { CLIENT_FRAME_MAX_BYTES, CloseCode } from '../protocol/limits.js';
import { createOutlet } from './outlet.js';
import { type Identity, openSession, type Session } from './session.js';
import { createSubscriptions } from './subscriptions.js';
import { startWatch } from './watch.js';

const CONNECTIONS_MAX = 10_000;
const USER_CONNECTIONS_MAX = 2000;
/** Connections that have not said yet who they are. */
const STRANGERS_MAX = 500;
const STRANGERS_PER_ADDRESS_MAX = 50;
/** All clients share the total: one may have so much waiting for it at most, and never less than the minimum. */
const CLIENT_BUFFER_MAX_BYTES = 1024 * 1024;
const CLIENT_BUFFER_MIN_BYTES = 128 * 1024;
const CLIENT_BUFFERS_TOTAL_BYTES = 128 * 1024 * 1024;

export type ClientDoorContext = Pick<
  Context,
  'auth' | 'access' | 'bus' | 'config' | 'console' | 'database' | 'log'
>;

export interface ClientDoor {
  handleUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void;
  /** Sends every client away with 1001 and waits until all are gone. */
  close(): Promise<void>;
}

/** Where dashboards and console watchers come in: `/ws?token=…`, or `/ws` and the token in the first message. */
export function createClientDoor(context: ClientDoorContext): ClientDoor {
  const { auth, bus, log } = context;
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    maxPayload: CLIENT_FRAME_MAX_BYTES,
    perMessageDeflate: false,
  });
  const subscriptions = createSubscriptions({ bus, serverConsole: context.console, log });
  const sessions = new Map<WebSocket, Session>();
  const watch = startWatch({ context, sessions });
  const addressOf = createClientAddress(context.config.TRUST_PROXY);
  /** Upgrades that wait for their token to be checked. */
  let checking = 0;
  let isClosing = false;

  async function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    const token = readToken(request);
    if (isClosing) throw new AppError('panel.stopping');
    if (sessions.size + checking >= CONNECTIONS_MAX) throw new AppError('gateway.too_many_connections');
    const origin = originOf(request);
    const identity = token === undefined ? undefined : await identify(token, origin);
    if (identity) requirePlace(identity.actor);
    else requirePlaceForStranger(origin);
    if (isClosing) throw new AppError('panel.stopping');
    if (socket.destroyed) return;
    sockets.handleUpgrade(request, socket, head, (webSocket) =>
      open(webSocket, { request, origin, identity }),
    );
  }

  async function identify(token: string, origin: Origin): Promise<Identity> {
    checking += 1;
    try {
      return { actor: await auth.authenticate(token, origin), token };
    } finally {
      checking -= 1;
    }
  }

  function requirePlace({ userId }: UserActor): void {
    let connections = 0;
    for (const session of sessions.values()) if (session.actor()?.userId === userId) connections += 1;
    if (connections >= USER_CONNECTIONS_MAX) throw new AppError('gateway.too_many_connections');
  }

  function requirePlaceForStranger({ ipAddress }: Origin): void {
    const strangers = [...sessions.values()].filter((session) => !session.actor());
    const neighbours = strangers.filter((session) => session.origin.ipAddress === ipAddress);
    const isCrowd = neighbours.length >= STRANGERS_PER_ADDRESS_MAX;
    if (isCrowd || strangers.length >= STRANGERS_MAX) throw new AppError('gateway.too_many_connections');
  }

  function originOf(request: IncomingMessage): Origin {
    return { ipAddress: addressOf(request), userAgent: request.headers['user-agent'] };
  }

  /** Called in the same breath as the upgrade: a client that speaks at once is heard. */
  function open(
    webSocket: WebSocket,
    {
      request,
      origin,
      identity,
    }: { request: IncomingMessage; origin: Origin; identity: Identity | undefined },
  ): void {
    webSocket.on('error', (error) => log.debug({ err: error }, 'the connection of a client failed'));
    const session = openSession({
      context,
      subscriptions,
      webSocket,
      origin,
      outlet: createOutlet({ webSocket, socket: request.socket, maxBytes: maxBufferBytes }),
      ...(identity && { identity }),
      onAuthenticated: requirePlace,
    });
    sessions.set(webSocket, session);
    watch.add(webSocket);
    webSocket.on('close', () => sessions.delete(webSocket));
  }

  function maxBufferBytes(): number {
    const share = CLIENT_BUFFERS_TOTAL_BYTES / Math.max(sessions.size, 1);
    return Math.max(Math.min(share, CLIENT_BUFFER_MAX_BYTES), CLIENT_BUFFER_MIN_BYTES);
  }

  return {
    handleUpgrade(request, socket, head) {
      socket.on('error', (error) => log.debug({ err: error }, 'the socket of a client failed'));
      upgrade(request, socket, head).catch((error: unknown) => refuseUpgrade(socket, error, log));
    },
    async close() {
      isClosing = true;
      await watch.stop();
      await closeAll([...sessions.keys()], CloseCode.goingAway, 'The panel is shutting down.');
    },
  };
}

/** Throws `request.invalid`, `auth.invalid_token`. */
function readToken(request: IncomingMessage): string | undefined {
  const tokens = new URL(request.url ?? '', 'http://panel').searchParams.getAll('token');
  if (tokens.length > 1) throw new AppError('request.invalid', 'Give one token.');
  if (tokens[0] === '') throw new AppError('auth.invalid_token');
  return tokens[0];
}
