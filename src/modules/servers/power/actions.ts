import { AppError } from '../../../lib/errors.js';
import { NO_ACTION, type ServerState } from '../state.js';

/** What users and the panel do to servers; `delete` holds a server too, but is no power action. */
export type PowerVerb = 'install' | 'start' | 'stop' | 'restart' | 'kill';

export const STOP_TIMEOUT_SECONDS = 30;

/** When an action stops holding its server although the agent has not answered. */
const EXPIRES_AFTER_MS: Record<PowerVerb | 'delete', number> = {
  install: 2 * 60 * 60_000,
  start: 60_000,
  // On top of the time that the server is given to stop.
  stop: 30_000,
  restart: 150_000,
  kill: 30_000,
  delete: 60_000,
};

export interface Order {
  verb: PowerVerb;
  commandId: string;
  timeoutSeconds: number;
  /** The agent starts crashed servers again by itself, so that stopping one calls that off. */
  hasCrashPolicy: boolean;
  /** Only the panel itself stops a server that is suspended. */
  whileSuspended: 'allowed' | 'blocked';
  now: Date;
}

/** The server with the action begun; throws what is in the way of it. */
export function begin(server: ServerState, order: Order): ServerState {
  if (server.suspendedAt && order.whileSuspended === 'blocked') throw new AppError('server.suspended');
  const isOnlyStopped = order.verb === 'stop' || order.verb === 'kill';
  if (server.deletionRequestedAt && !isOnlyStopped) throw new AppError('server.being_deleted');
  if (order.verb === 'kill') return beginKill(server, order);
  if (isBusy(server, order.now)) throw new AppError('server.busy');
  requireStatus(server, order);
  const held = { ...server, ...hold(order.verb, order) };
  switch (order.verb) {
    case 'install':
      // Until it is done nothing is installed: what was there may be half gone.
      return {
        ...held,
        status: 'installing',
        desiredState: 'stopped',
        statusReason: null,
        installedAt: null,
      };
    case 'start':
      return { ...held, status: 'starting', desiredState: 'running', statusReason: null, crashCount: 0 };
    case 'stop':
      return {
        ...held,
        status: server.status === 'crashed' ? 'crashed' : 'stopping',
        desiredState: 'stopped',
      };
    case 'restart':
      return { ...held, status: 'stopping', desiredState: 'running', statusReason: null };
  }
}

/** Whether another action holds the server. */
export function isBusy(server: ServerState, now: Date): boolean {
  return (
    server.activeAction !== null &&
    server.activeActionExpiresAt !== null &&
    server.activeActionExpiresAt > now
  );
}

export function hold(
  action: PowerVerb | 'delete',
  order: Pick<Order, 'commandId' | 'timeoutSeconds' | 'now'>,
): Pick<ServerState, 'activeAction' | 'activeCommandId' | 'activeActionExpiresAt'> {
  const graceMs = action === 'stop' || action === 'restart' ? order.timeoutSeconds * 1000 : 0;
  return {
    activeAction: action,
    activeCommandId: order.commandId,
    activeActionExpiresAt: new Date(order.now.getTime() + EXPIRES_AFTER_MS[action] + graceMs),
  };
}

/** Takes the place of whatever is under way. Where nothing runs there is nothing to wait for either. */
function beginKill(server: ServerState, order: Order): ServerState {
  if (server.status === 'stopped' || server.status === 'crashed') {
    // Nothing may start what is being removed.
    const isRemoved = server.activeAction === 'delete' && isBusy(server, order.now);
    return { ...server, ...(!isRemoved && NO_ACTION), desiredState: 'stopped' };
  }
  const status = server.status === 'installing' ? 'installing' : 'stopping';
  return { ...server, ...hold('kill', order), status, desiredState: 'stopped' };
}

function requireStatus(server: ServerState, { verb, hasCrashPolicy }: Order): void {
  const { status } = server;
  const isDown = status === 'stopped' || status === 'crashed';
  if (verb === 'stop') {
    const awaitsRestart = status === 'crashed' && server.desiredState === 'running' && hasCrashPolicy;
    // A server may be left in `stopping` by an agent that never finished: it can be told again.
    const isUp = status === 'starting' || status === 'running' || status === 'stopping';
    if (!isUp && !awaitsRestart) throw new AppError('server.not_running');
  } else if (verb === 'restart') {
    if (status !== 'starting' && status !== 'running') throw new AppError('server.not_running');
  } else if (!isDown) {
    throw new AppError(
      verb === 'start' && (status === 'starting' || status === 'running')
        ? 'server.already_running'
        : 'server.not_stopped',
    );
  }
  if (verb === 'start' && !server.installedAt) throw new AppError('server.not_installed');
}

/**
 * What becomes of a server whose action the agent refused or never answered. What it last reported is not
 * kept beside what was asked of it, so this is the state from which the user can go on.
 */
export function giveUp(server: ServerState, reason: string): ServerState {
  const free = { ...server, ...NO_ACTION };
  switch (server.status) {
    case 'installing':
      return { ...free, status: 'stopped', desiredState: 'stopped', statusReason: reason };
    case 'stopping':
      return { ...free, status: 'running', statusReason: reason };
    case 'stopped':
      // Half a restart: that it is to run is not remembered until some day the node comes back.
      return { ...free, desiredState: 'stopped' };
    default:
      return free;
  }
}
