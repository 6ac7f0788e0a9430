import { setTimeout as delay } from 'node:timers/promises';
import type { ConsoleLines } from '../events.js';
import type { Log } from '../lib/log.js';
import type { ServerConsole } from '../modules/console/service.js';
import type { LogGapMessage } from '../protocol/client-messages.js';
import type { Channel, Subscriber } from './channel.js';
import { bundleLines, encodeLines } from './frames.js';
import { createSlots } from './slots.js';

/** A client that is further behind is told so, and goes on with what comes now. */
const BEHIND_MAX_LINES = 20_000;
const READ_LINES = 1000;
/** What is sent before looking whether the client takes it. */
const SEND_MAX_BYTES = 256 * 1024;
/** After a restart of the panel everybody comes back at once: the database serves them one after the other. */
const READS_AT_ONCE = 4;
const READ_ATTEMPTS = 3;
const READ_RETRY_MS = 500;

export type CatchUp = (channel: Channel, subscriber: Subscriber) => Promise<void>;

/**
 * Brings a subscriber from its `nextSeq` to where the channel is: first what is stored, then what is about to be,
 * and in the same breath, so that nothing comes between, the subscriber goes live. Lines that cannot be given are
 * announced.
 */
export function createCatchUp({
  serverConsole,
  log,
}: {
  serverConsole: Pick<ServerConsole, 'replay' | 'pending'>;
  log: Log;
}): CatchUp {
  const inSlot = createSlots(READS_AT_ONCE);
  const isBehind = ({ progress, outlet }: Subscriber) => progress === 'behind' && outlet.isOpen();

  async function sendStored(channel: Channel, subscriber: Subscriber): Promise<void> {
    const { serverId } = channel;
    // Looked up before reading: everything before these is stored already, and what is not found is not there.
    const firstPending = serverConsole.pending(serverId, subscriber.nextSeq)[0]?.firstSeq;
    const until = (firstPending ?? channel.nextSeq()) - 1;
    const lines = await readStored(subscriber, until);
    if (!isBehind(subscriber)) return;
    if (!lines) {
      skip(subscriber, until, 'slow_subscriber');
      return;
    }
    for (const bundle of bundleLines(serverId, lines)) if (!send(subscriber, bundle)) return;
    if (lines.length < READ_LINES) skip(subscriber, until, 'not_stored');
  }

  /** Nothing when the database does not answer. */
  async function readStored({ serverId, nextSeq }: Subscriber, until: number) {
    for (let attempt = 1; attempt <= READ_ATTEMPTS; attempt += 1) {
      try {
        const range = { since: nextSeq - 1, until, limit: READ_LINES };
        return await inSlot(() => serverConsole.replay(serverId, range));
      } catch (error) {
        log.warn({ err: error, serverId, attempt }, 'could not read console lines for a subscriber');
        await delay(READ_RETRY_MS);
      }
    }
    return undefined;
  }

  /** Answers whether the line that is next was there. */
  function sendPending(channel: Channel, subscriber: Subscriber): boolean {
    const pending = serverConsole.pending(channel.serverId, subscriber.nextSeq);
    if ((pending[0]?.firstSeq ?? Number.POSITIVE_INFINITY) > subscriber.nextSeq) return false;
    let bytes = 0;
    for (const lines of pending) {
      bytes += lines.data.length;
      if (lines.gap) skip(subscriber, lines.seq, lines.gap);
      else if (!send(subscriber, lines)) break;
      if (bytes > SEND_MAX_BYTES) break;
    }
    return true;
  }

  return async (channel, subscriber) => {
    while (isBehind(subscriber)) {
      await subscriber.outlet.drained();
      if (!isBehind(subscriber)) return;
      if (subscriber.nextSeq >= channel.nextSeq()) {
        channel.goLive(subscriber);
        return;
      }
      const missed = channel.nextSeq() - subscriber.nextSeq;
      if (missed > BEHIND_MAX_LINES) skip(subscriber, channel.nextSeq() - 1, 'slow_subscriber');
      else if (!sendPending(channel, subscriber)) await sendStored(channel, subscriber);
    }
  };
}

/** False when the client has no room; then nothing was sent. */
function send(subscriber: Subscriber, lines: ConsoleLines): boolean {
  skip(subscriber, lines.firstSeq - 1, 'not_stored');
  if (!subscriber.outlet.sendFrames(encodeLines(lines))) return false;
  subscriber.nextSeq = lines.seq + 1;
  return true;
}

/** Announces that the lines up to `to` will not come. */
export function skip(subscriber: Subscriber, to: number, reason: LogGapMessage['reason']): void {
  const { serverId, nextSeq: from } = subscriber;
  if (to < from) return;
  subscriber.outlet.send({ type: 'log_gap', serverId, from, to, reason });
  subscriber.nextSeq = to + 1;
}
