import { setTimeout as delay } from 'node:timers/promises';
import type { Pool } from 'pg';
import type { AgentConnection } from '../../gateway/connection.js';
import type { AgentGateway } from '../../gateway/gateway.js';
import type { Log } from '../../lib/log.js';
import type { ConsoleReport, ConsoleState, Intake } from './intake.js';
import { loadPositions, type Position } from './positions.js';

const LOAD_RETRY_MS = 500;

export interface Consoles {
  get(serverId: string): ConsoleState | undefined;
  /** Passes the report on, in order, as soon as it is known how far the console has come. */
  record(connection: AgentConnection, report: ConsoleReport): void;
  /** Loads how far the servers' consoles are stored. */
  load(serverIds: readonly string[]): Promise<Position[]>;
  leaveNode(nodeId: string): void;
  forget(serverId: string): void;
}

interface ConsolesOptions {
  pool: Pool;
  agents: AgentGateway;
  intake: Intake;
  /** Whether something of the server is still to be stored. */
  isPending(serverId: string): boolean;
  log: Log;
}

/** The consoles of the servers whose nodes are connected. */
export function createConsoles({ pool, agents, intake, isPending, log }: ConsolesOptions): Consoles {
  const states = new Map<string, ConsoleState>();
  /** Reports that came before their console was loaded. Bounded: the connection is paused meanwhile. */
  const waiting = new Map<string, { connection: AgentConnection; report: ConsoleReport }[]>();

  async function load(serverIds: readonly string[]): Promise<Position[]> {
    const positions = await loadPositions(pool, serverIds);
    for (const { serverId, nodeId, seq, microseconds } of positions) {
      const state = states.get(serverId) ?? newState(serverId, nodeId);
      state.nodeId = nodeId;
      state.lastSeq = Math.max(state.lastSeq, seq);
      state.storedSeq = Math.max(state.storedSeq, seq);
      state.lastMicroseconds = Math.max(state.lastMicroseconds, microseconds);
      states.set(serverId, state);
    }
    return positions;
  }

  /** A server that was made after its agent's handshake speaks for the first time. */
  async function open(serverId: string, connection: AgentConnection): Promise<void> {
    connection.pause();
    try {
      while (!(await tryLoad(serverId)) && agents.connection(connection.nodeId) === connection) {
        await delay(LOAD_RETRY_MS);
      }
    } finally {
      connection.resume();
      const reports = waiting.get(serverId) ?? [];
      waiting.delete(serverId);
      const state = states.get(serverId);
      if (state) for (const { connection: from, report } of reports) intake.accept(state, from, report);
    }
  }

  async function tryLoad(serverId: string): Promise<boolean> {
    try {
      await load([serverId]);
      return true;
    } catch (error) {
      log.warn({ err: error, serverId }, 'could not load how far a console is stored, will retry');
      return false;
    }
  }

  function forget(serverId: string): void {
    states.get(serverId)?.assembler?.close();
    states.delete(serverId);
  }

  return {
    get: (serverId) => states.get(serverId),
    load,
    forget,
    record(connection, report) {
      const { serverId } = report;
      const state = states.get(serverId);
      const queue = waiting.get(serverId);
      if (queue) queue.push({ connection, report });
      else if (state) intake.accept(state, connection, report);
      else {
        waiting.set(serverId, [{ connection, report }]);
        open(serverId, connection).catch((error: unknown) =>
          log.error({ err: error }, 'opening a console failed'),
        );
      }
    },
    leaveNode(nodeId) {
      for (const [serverId, state] of states) {
        if (state.nodeId !== nodeId) continue;
        state.assembler?.close();
        if (!isPending(serverId)) states.delete(serverId);
      }
    },
  };
}

function newState(serverId: string, nodeId: string): ConsoleState {
  return { serverId, nodeId, lastSeq: 0, storedSeq: 0, lastMicroseconds: 0, hasComplained: false };
}
