import type { WebSocket } from 'ws';
import type { Context } from '../context.js';
import type { Origin, UserActor } from '../lib/actor.js';
import { asAppError } from '../lib/as-app-error.js';
import { AppError } from '../lib/errors.js';
import type { Frame } from '../lib/web-sockets.js';
import type { ClientMessage } from '../protocol/client-messages.js';
import { CloseCode, HANDSHAKE_TIMEOUT_MS } from '../protocol/limits.js';
import type { Subscriber } from './channel.js';
import { attachInbox } from './inbox.js';
import type { NeededRight } from './lost-rights.js';
import type { Outlet } from './outlet.js';
import { parseMessage } from './parse.js';
import { EVENT_RIGHTS, findStillViewable, findViewable } from './rights.js';
import type { Subscriptions } from './subscriptions.js';

const SUBSCRIPTIONS_MAX = 500;
/** Who is sent away and does not go is cut off. */
const CLOSE_TIMEOUT_MS = 5000;

/** Somebody who has shown a token. */
export interface Identity {
  actor: UserActor;
  token: string;
}

/** One client's connection. */
export interface Session {
  readonly origin: Origin;
  readonly outlet: Outlet;
  actor(): UserActor | undefined;
  isWatching(serverId: string): boolean;
  /** What its subscriptions depend on. */
  neededRights(): NeededRight[];
  /** Tells the client why and closes. */
  end(code: number, error: AppError): void;
  /** Looks again whether the token still counts, and whether its holder may still see what is watched. */
  recheck(): Promise<void>;
  /** Ends the subscription to a server, if there is one. */
  drop(serverId: string, reason: string): void;
  /** Announces what the client has missed: it will not be given it any more. */
  announceMissed(): void;
}

export interface SessionOptions {
  context: Pick<Context, 'auth' | 'access' | 'console' | 'log'>;
  subscriptions: Subscriptions;
  webSocket: WebSocket;
  /** Where it comes from. */
  origin: Origin;
  outlet: Outlet;
  /** Left out, the client says who it is in its first message. */
  identity?: Identity;
  /** Throws when this user may not have another connection. */
  onAuthenticated(actor: UserActor): void;
}

export function openSession(options: SessionOptions): Session {
  const { context, subscriptions, webSocket, origin, outlet, onAuthenticated } = options;
  let { identity } = options;
  const watched = new Map<string, Subscriber>();
  const deadline = identity ? undefined : setTimeout(onSilent, HANDSHAKE_TIMEOUT_MS);

  attachInbox({ webSocket, handle, onTooMany });
  webSocket.on('close', () => {
    clearTimeout(deadline);
    for (const subscriber of watched.values()) subscriptions.leave(subscriber);
    watched.clear();
  });

  function onSilent(): void {
    end(CloseCode.handshakeTimeout, new AppError('auth.required', 'Send your token within 10 seconds.'));
  }

  function onTooMany(verdict: 'over' | 'far-over'): void {
    const error = new AppError('gateway.too_many_messages');
    if (verdict === 'far-over') end(CloseCode.tooManyMessages, error);
    else tell(error);
  }

  async function handle(frame: Frame): Promise<void> {
    if (!outlet.isOpen()) return;
    let message: ClientMessage | undefined;
    try {
      message = parseMessage(frame);
      if (message.type === 'authenticate') await authenticate(message.token);
      else if (identity) await answer(message, identity.token);
      else throw new AppError('auth.required', 'Send { "type": "authenticate", "token": … } first.');
    } catch (error) {
      const shown = asAppError(error);
      if (shown.statusCode === 500)
        context.log.error({ err: error }, 'handling a message of a client failed');
      if (shown.statusCode === 401) end(CloseCode.unauthorized, shown);
      else tell(shown, message && 'serverId' in message ? message.serverId : undefined);
    }
  }

  async function authenticate(token: string): Promise<void> {
    if (identity) throw new AppError('gateway.frame_invalid', 'This connection is authenticated already.');
    const actor = await context.auth.authenticate(token, origin);
    onAuthenticated(actor);
    clearTimeout(deadline);
    identity = { actor, token };
    outlet.send({ type: 'authenticated', userId: actor.userId });
  }

  /** With the rights that he has now: another panel, of which we do not hear, may have taken some. */
  async function lookUpActor(token: string): Promise<UserActor> {
    const actor = await context.auth.authenticate(token, origin);
    identity = { actor, token };
    return actor;
  }

  async function answer(
    message: Exclude<ClientMessage, { type: 'authenticate' }>,
    token: string,
  ): Promise<void> {
    const { serverId } = message;
    if (message.type === 'unsubscribe') {
      leave(serverId);
      outlet.send({ type: 'unsubscribed', serverId });
      return;
    }
    const actor = await lookUpActor(token);
    if (message.type === 'subscribe') await subscribe(message, actor);
    else await context.console.sendInput(actor, serverId, message.data);
  }

  async function subscribe(
    { serverId, events: wanted, since }: Extract<ClientMessage, { type: 'subscribe' }>,
    actor: UserActor,
  ): Promise<void> {
    if (watched.size >= SUBSCRIPTIONS_MAX && !watched.has(serverId)) {
      throw new AppError('gateway.too_many_subscriptions');
    }
    const { state, events } = await findViewable(context.access, actor, { serverId, events: wanted });
    const lastSeq = await context.console.lastSeq(serverId);
    // The client left, or was sent away, while we asked.
    if (!outlet.isOpen()) return;
    leave(serverId);
    outlet.send({ type: 'subscribed', serverId, events, seq: lastSeq, state });
    const subscriber = subscriptions.join({ serverId, outlet, events: new Set(events), lastSeq, since });
    watched.set(serverId, subscriber);
    // Whoever lost the right while we asked was told nothing, as he was not watching yet.
    await recheckServer(serverId, subscriber);
  }

  async function recheckServer(serverId: string, subscriber: Subscriber): Promise<void> {
    if (!identity) return;
    const events = [...subscriber.events];
    try {
      const viewable = await findStillViewable(context.access, identity.actor, { serverId, events });
      const lost = events.filter((event) => !viewable.events.includes(event));
      if (lost.length === 0) return;
      // Files are a matter of their own: whoever may not read them any more may go on with the rest.
      if (lost.some((event) => event !== 'file_task')) throw new AppError('permission.denied');
      subscriber.events = new Set(viewable.events);
      tell(new AppError('permission.denied', `You are no longer told of ${lost.join(', ')}.`), serverId);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      drop(serverId, error.code);
    }
  }

  function leave(serverId: string): void {
    const subscriber = watched.get(serverId);
    if (!subscriber) return;
    watched.delete(serverId);
    subscriptions.leave(subscriber);
  }

  function drop(serverId: string, reason: string): void {
    if (!watched.has(serverId)) return;
    leave(serverId);
    outlet.send({ type: 'unsubscribed', serverId, reason });
  }

  function tell({ code, message }: AppError, serverId?: string): void {
    outlet.send({ type: 'error', code, message, ...(serverId !== undefined && { serverId }) });
  }

  function end(code: number, error: AppError): void {
    tell(error);
    webSocket.close(code, error.code);
    setTimeout(() => webSocket.terminate(), CLOSE_TIMEOUT_MS).unref();
  }

  async function recheck(): Promise<void> {
    if (!identity) return;
    try {
      await lookUpActor(identity.token);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      end(CloseCode.unauthorized, error);
      return;
    }
    for (const [serverId, subscriber] of watched) await recheckServer(serverId, subscriber);
  }

  function neededRights(): NeededRight[] {
    const userId = identity?.actor.userId;
    if (userId === undefined) return [];
    return [...watched.values()].flatMap(({ serverId, events }) => {
      const permissions = new Set([...events].flatMap((event) => EVENT_RIGHTS[event]));
      return [...permissions].map((permission) => ({ userId, serverId, permission }));
    });
  }

  return {
    origin,
    outlet,
    actor: () => identity?.actor,
    isWatching: (serverId) => watched.has(serverId),
    neededRights,
    end,
    recheck,
    drop,
    announceMissed() {
      for (const subscriber of watched.values()) subscriptions.announceMissed(subscriber);
    },
  };
}
