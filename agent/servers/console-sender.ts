import type { AgentMessage } from '../../src/protocol/agent-messages.js';
import type { BatchBuilder } from './batch-builder.js';
import { type ConsoleBatch, toMessage } from './console-batch.js';
import type { ConsoleQueue } from './console-queue.js';

export interface ConsoleSenderOptions {
  serverId: string;
  queue: ConsoleQueue;
  builder: BatchBuilder;
  /** False: the link has no room or is down; `pump` is called when that changes. */
  send(message: AgentMessage): boolean;
}

/** Brings what is in the queue to the panel, and both to the same numbers when the link is new. */
export interface ConsoleSender {
  pump(): void;
  acknowledge(seq: number): void;
  /** Nothing goes out until the next `connect`. */
  disconnect(): void;
  /**
   * To be called between `disconnect` and `connect`, with nothing left in the builder.
   * @param storedSeq The last line that the panel has; 0: none that it knows of.
   * @returns Whether the lines in the queue have other numbers now.
   */
  reconcile(storedSeq: number): boolean;
  /** @param acknowledges Whether the panel will say what it has stored; else sent is as good as stored. */
  connect(acknowledges: boolean): void;
}

export function createConsoleSender({ serverId, queue, builder, send }: ConsoleSenderOptions): ConsoleSender {
  let isConnected = false;
  let isAcknowledged = true;
  /** Taken from the queue, but there was no room for it. */
  let blocked: ConsoleBatch | null = null;
  /** Lines up to here were numbered by an earlier agent process, or under the panel's eyes. */
  let settledSeq = builder.lastSeq;

  function pump() {
    while (isConnected) {
      const batch = blocked ?? queue.takeNext();
      if (batch === null) return;
      blocked = null;
      if (!send(toMessage(serverId, batch))) {
        blocked = batch;
        return;
      }
      if (!isAcknowledged) queue.acknowledge(batch.lastSeq);
    }
  }

  /** Of the numbers that the panel waits for next, some have no lines here any more. */
  function announceMissing(storedSeq: number): boolean {
    const nextSeq = queue.batches()[0]?.firstSeq ?? builder.lastSeq + 1;
    if (storedSeq === 0 || nextSeq <= storedSeq + 1) return false;
    const range = { firstSeq: storedSeq + 1, lastSeq: nextSeq - 1 };
    queue.prepend({ kind: 'gap', ...range, reason: 'agent_restarted' });
    return true;
  }

  return {
    pump,
    acknowledge(seq) {
      queue.acknowledge(seq);
      pump();
    },
    disconnect() {
      isConnected = false;
    },
    reconcile(storedSeq) {
      const isBehind = storedSeq > builder.lastSeq;
      if (isBehind) {
        // The panel knows higher numbers than this agent has ever given: its data directory is new or older
        // than the panel's. What it numbered meanwhile moves behind what the panel has.
        const by = storedSeq - settledSeq;
        queue.renumber(settledSeq, by);
        builder.skip(by);
      }
      queue.rewind(storedSeq);
      const isMissing = announceMissing(storedSeq);
      settledSeq = builder.lastSeq;
      return isBehind || isMissing;
    },
    connect(acknowledges) {
      isConnected = true;
      isAcknowledged = acknowledges;
      blocked = null;
      pump();
    },
  };
}
