import type { UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import type { ServerAccess } from '../modules/servers/access.js';
import { ClientEvent, type ClientServerState, shownStatus } from '../protocol/client-messages.js';
import type { NeededRight } from './lost-rights.js';

export interface Viewable {
  state: ClientServerState;
  events: ClientEvent[];
}

/** What it takes to watch an event of a server. */
export const EVENT_RIGHTS: Readonly<Record<ClientEvent, readonly NeededRight['permission'][]>> = {
  server_log: ['server.logs.read'],
  server_state_update: ['server.read'],
  resource_stats: ['server.read'],
  file_task: ['server.read', 'file.read'],
};

/**
 * What of a server an actor may watch. Asked for by name, events that it may not see are `permission.denied`; left
 * out, it is given those that it may. Throws as `ServerAccess.authorise`.
 */
export async function findViewable(
  access: ServerAccess,
  actor: UserActor,
  { serverId, events }: { serverId: string; events: readonly ClientEvent[] | undefined },
): Promise<Viewable> {
  const viewable = await findStillViewable(access, actor, {
    serverId,
    events: events ?? ClientEvent.options,
  });
  if (events?.some((event) => !viewable.events.includes(event))) throw new AppError('permission.denied');
  return viewable;
}

/** Those of the events that the actor may (still) watch. Throws when there are none. */
export async function findStillViewable(
  access: ServerAccess,
  actor: UserActor,
  { serverId, events }: { serverId: string; events: readonly ClientEvent[] },
): Promise<Viewable> {
  const wanted = [...new Set(events)];
  const [first, ...others] = wanted.flatMap((event) => EVENT_RIGHTS[event]);
  if (first === undefined) throw new AppError('permission.denied');
  const { server, permitted } = await access.authoriseSome(actor, serverId, [first, ...others]);
  const seen = wanted.filter((event) => EVENT_RIGHTS[event].every((right) => permitted.has(right)));
  if (seen.length === 0) {
    // What only belongs to something else is no reason to be told that the server is there.
    await access.authorise(actor, serverId, first);
    throw new AppError('permission.denied');
  }
  return { state: shownStatus(server), events: seen };
}
