import type { Bus } from '../events.js';
import type { Log } from '../lib/log.js';
import type { ServerConsole } from '../modules/console/service.js';
import type { ClientEvent, PanelToClientMessage } from '../protocol/client-messages.js';
import { createCatchUp, skip } from './catch-up.js';
import { type Channel, createChannel, type Subscriber } from './channel.js';
import { encode } from './frames.js';
import type { Outlet } from './outlet.js';

/** A client that asks for what it missed is played back at most so many lines. */
const REPLAY_MAX_LINES = 10_000;
/** A client cannot have more lines that the panel has not stored; whoever says so begins with what comes now. */
const AHEAD_MAX_LINES = 100_000;

export interface Subscriptions {
  /**
   * @param lastSeq The newest line of the server's console.
   * @param since The last line that the client has; left out, it begins with what comes now.
   */
  join(request: {
    serverId: string;
    outlet: Outlet;
    events: ReadonlySet<ClientEvent>;
    lastSeq: number;
    since: number | undefined;
  }): Subscriber;
  leave(subscriber: Subscriber): void;
  /** Tells a client that is sent away what it has missed. */
  announceMissed(subscriber: Subscriber): void;
  membersOf(serverId: string): Iterable<Subscriber>;
}

/** Who watches which server; what happens goes from the bus to them. */
export function createSubscriptions(options: {
  bus: Bus;
  serverConsole: Pick<ServerConsole, 'replay' | 'pending'>;
  log: Log;
}): Subscriptions {
  const { bus, serverConsole, log } = options;
  const channels = new Map<string, Channel>();
  const catchUp = createCatchUp({ serverConsole, log });

  bus.on('console.lines', (lines) => channels.get(lines.serverId)?.publishLines(lines));
  bus.on('console.gap', (gap) => channels.get(gap.serverId)?.publishGap(gap));
  bus.on('server.stateChanged', ({ nodeId: _, ...change }) => {
    const message = { type: 'server_state_update', ...change } as const;
    publishNewest('server_state_update', message, message.type);
  });
  bus.on('server.installProgressed', (progress) => {
    const message = { type: 'install_progress', ...progress } as const;
    publishNewest('server_state_update', message, message.type);
  });
  bus.on('server.fileTaskChanged', (task) => {
    const { serverId, taskId } = task;
    publishNewest('file_task', { type: 'file_task', serverId, task }, `file_task ${taskId}`);
  });
  bus.on('server.statsReported', (stats) => {
    const channel = channels.get(stats.serverId);
    if (!channel) return;
    const frame = encode({ type: 'resource_stats', ...stats });
    // Who has no room for it gets the next one.
    for (const { events, outlet } of channel.members) {
      if (events.has('resource_stats')) outlet.sendFrames(frame);
    }
  });

  /** After the console lines that came before; a slow client gets the newest of each key when it can take it. */
  function publishNewest(
    event: ClientEvent,
    message: Extract<
      PanelToClientMessage,
      { type: 'server_state_update' | 'install_progress' | 'file_task' }
    >,
    key: string,
  ): void {
    const channel = channels.get(message.serverId);
    if (!channel) return;
    channel.flush();
    const frame = encode(message);
    for (const { events, outlet } of channel.members) {
      if (events.has(event)) outlet.sendNewest(`${key} ${message.serverId}`, frame);
    }
  }

  function open(serverId: string): Channel {
    const existing = channels.get(serverId);
    if (existing) return existing;
    const channel = createChannel({ serverId, onBehind: (subscriber) => startCatchUp(channel, subscriber) });
    channels.set(serverId, channel);
    return channel;
  }

  function startCatchUp(channel: Channel, subscriber: Subscriber): void {
    catchUp(channel, subscriber).catch((error: unknown) => {
      log.error({ err: error, serverId: channel.serverId }, 'catching up a subscriber failed');
    });
  }

  return {
    join({ serverId, outlet, events, lastSeq, since }) {
      const channel = open(serverId);
      const isPossible = since !== undefined && since <= lastSeq + AHEAD_MAX_LINES;
      const nextSeq = (isPossible ? since : lastSeq) + 1;
      const subscriber: Subscriber = { serverId, outlet, events, nextSeq, progress: 'behind' };
      channel.join(subscriber, lastSeq + 1);
      if (!events.has('server_log')) return subscriber;
      skip(subscriber, lastSeq - REPLAY_MAX_LINES, 'too_old');
      if (subscriber.nextSeq > channel.nextSeq()) channel.waitAhead(subscriber);
      else if (subscriber.nextSeq === channel.nextSeq()) channel.goLive(subscriber);
      else startCatchUp(channel, subscriber);
      return subscriber;
    },
    leave(subscriber) {
      const channel = channels.get(subscriber.serverId);
      if (!channel) return;
      channel.leave(subscriber);
      if (channel.members.size === 0) channels.delete(subscriber.serverId);
    },
    announceMissed(subscriber) {
      const channel = channels.get(subscriber.serverId);
      if (channel && subscriber.events.has('server_log') && subscriber.progress === 'behind') {
        skip(subscriber, channel.nextSeq() - 1, 'slow_subscriber');
      }
    },
    membersOf: (serverId) => channels.get(serverId)?.members ?? [],
  };
}
