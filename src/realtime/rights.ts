import type { UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import type { ServerAccess } from '../modules/servers/access.js';
import { ClientEvent, type ClientServerState, shownStatus } from '../protocol/client-messages.js';

export interface Viewable {
  state: ClientServerState;
  events: ClientEvent[];
}

/**
 * What of a server an actor may watch. Asked for by name, events that it may not see are `permission.denied`; left
 * out, it is given those that it may. Throws as `ServerAccess.authorise`.
 */
export async function findViewable(
  access: ServerAccess,
  actor: UserActor,
  { serverId, events }: { serverId: string; events: readonly ClientEvent[] | undefined },
): Promise<Viewable> {
  const wanted = [...new Set(events ?? ClientEvent.options)];
  const permission = wanted.includes('server_log') ? 'server.logs.read' : 'server.read';
  try {
    return { state: shownStatus(await access.authorise(actor, serverId, permission)), events: wanted };
  } catch (error) {
    const isLogsOnly =
      error instanceof AppError && error.code === 'permission.denied' && events === undefined;
    if (!isLogsOnly) throw error;
  }
  const server = await access.authorise(actor, serverId, 'server.read');
  return { state: shownStatus(server), events: wanted.filter((event) => event !== 'server_log') };
}
