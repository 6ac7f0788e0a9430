import type { Pool } from 'pg';
import type { Bus, ConsoleLines } from '../../events.js';
import type { AgentConnection } from '../../gateway/connection.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Actor } from '../../lib/actor.js';
import type { Log } from '../../lib/log.js';
import { formatMicroseconds, MICROSECONDS_MAX, parseMicroseconds } from '../../lib/timestamps.js';
import { type AgentMessageOf, Capability } from '../../protocol/agent-messages.js';
import type { Nodes } from '../nodes/service.js';
import type { ServerAccess } from '../servers/access.js';
import { batchFrom, type GapReason, type LogBatch } from './batch.js';
import { createBrakes } from './brakes.js';
import { type ConsoleCommands, createCommands } from './commands.js';
import { createConsoles } from './consoles.js';
import { type LogLine, readLinesAfter, readLinesBefore } from './history.js';
import { createIntake } from './intake.js';
import { loadLastSeq } from './positions.js';
import type { LogEntry, LogQuery } from './schemas.js';
import { createLogStore } from './store.js';

/** A reader waits so long for the lines that have just been shown live to be stored. */
const READ_SETTLE_MS = 500;
/** An agent that connects waits so long for its lines from before to be stored. */
const RESUME_SETTLE_MS = 2000;

export interface ServerConsole extends ConsoleCommands {
  /** Publishes the lines at once and has them stored; the agent is told when they are. */
  record(connection: AgentConnection, message: AgentMessageOf<'console_output'>): void;
  recordGap(connection: AgentConnection, message: AgentMessageOf<'console_gap'>): void;
  /** Up to which line each server's console is stored: where its agent goes on. */
  resumePoints(serverIds: readonly string[]): Promise<Map<string, number>>;
  /** The newest lines before a time, oldest first. Throws as `ServerAccess.authorise`. */
  read(actor: Actor, serverId: string, query: LogQuery): Promise<LogEntry[]>;
  /** Stored lines after `since` up to `until`, in order, at most `limit`. Asks nobody for rights. */
  replay(serverId: string, range: { since: number; until: number; limit: number }): Promise<LogLine[]>;
  /** What has been published from line `fromSeq` on and is not yet known to be stored, in order. */
  pending(serverId: string, fromSeq: number): PendingLines[];
  /** The number of the last published line; 0 before the first. */
  lastSeq(serverId: string): Promise<number>;
  close(): Promise<void>;
}

/** Lines, or numbers whose lines never came. */
interface PendingLines extends ConsoleLines {
  gap?: GapReason;
}

export interface ServerConsoleOptions {
  pool: Pool;
  agents: AgentGateway;
  nodes: Pick<Nodes, 'absence'>;
  access: ServerAccess;
  bus: Bus;
  log: Log;
}

export function createConsole({
  pool,
  agents,
  access,
  nodes,
  bus,
  log,
}: ServerConsoleOptions): ServerConsole {
  const brakes = createBrakes();
  const store = createLogStore({ pool, log, onStored, onDropped, onRelieved: brakes.release });
  const intake = createIntake({ store, bus, log });
  const isPending = (serverId: string) => store.pending(serverId).length > 0;
  const consoles = createConsoles({ pool, agents, intake, isPending, log });
  bus.on('node.disconnected', ({ nodeId }) => consoles.leaveNode(nodeId));
  bus.on('server.deleted', ({ serverId }) => consoles.forget(serverId));

  function onStored({ serverId, nodeId, seq }: { serverId: string; nodeId: string; seq: number }): void {
    const state = consoles.get(serverId);
    if (state) state.storedSeq = seq;
    const connection = agents.connection(nodeId);
    if (connection?.capabilities.has(Capability.consoleSequence)) {
      connection.send({ type: 'console_ack', serverId, seq });
    } else if (!connection && !isPending(serverId)) {
      consoles.forget(serverId);
    }
  }

  function onDropped(batches: LogBatch[]): void {
    const lines = batches.reduce((sum, { firstSeq, seq }) => sum + seq - firstSeq + 1, 0);
    log.warn(
      { lines, serverIds: [...new Set(batches.map(({ serverId }) => serverId))] },
      'console lines not stored',
    );
    for (const { serverId, firstSeq, seq } of batches) {
      bus.emit('console.gap', { serverId, from: firstSeq, to: seq, reason: 'not_stored' });
    }
  }

  function record(
    connection: AgentConnection,
    message: AgentMessageOf<'console_output'> | AgentMessageOf<'console_gap'>,
  ): void {
    consoles.record(connection, message);
    if (store.isCrowded()) brakes.pause(connection);
  }

  return {
    ...createCommands({ pool, access, agents, nodes }),
    record,
    recordGap: record,
    async resumePoints(serverIds) {
      await Promise.all(serverIds.map((serverId) => store.settle(serverId, RESUME_SETTLE_MS)));
      const positions = await consoles.load(serverIds);
      return new Map(positions.map(({ serverId, seq }) => [serverId, seq]));
    },
    async read(actor, serverId, { before, stream, limit }) {
      await access.authorise(actor, serverId, 'server.logs.read');
      await store.settle(serverId, READ_SETTLE_MS);
      const beforeMicroseconds = before === undefined ? MICROSECONDS_MAX : parseMicroseconds(before);
      const lines = await readLinesBefore(pool, { serverId, beforeMicroseconds, stream, limit });
      return lines.map((line) => ({ id: `${serverId}-${line.seq}`, serverId, ...line }));
    },
    replay: (serverId, range) => readLinesAfter(pool, { serverId, ...range }),
    pending: (serverId, fromSeq) =>
      store
        .pending(serverId)
        .filter(({ seq }) => seq >= fromSeq)
        .map((batch) => toPendingLines(batchFrom(batch, fromSeq))),
    async lastSeq(serverId) {
      return consoles.get(serverId)?.lastSeq ?? (await loadLastSeq(pool, serverId));
    },
    async close() {
      brakes.release();
      await store.close();
    },
  };
}

function toPendingLines({
  serverId,
  stream,
  firstSeq,
  seq,
  data,
  microseconds,
  gap,
}: LogBatch): PendingLines {
  const timestamp = formatMicroseconds(microseconds);
  return { serverId, stream, firstSeq, seq, data, timestamp, ...(gap && { gap }) };
}
