import type { Bus } from '../../events.js';
import type { AgentConnection } from '../../gateway/connection.js';
import type { Log } from '../../lib/log.js';
import { formatMicroseconds } from '../../lib/timestamps.js';
import { type AgentMessageOf, Capability, type LogStream } from '../../protocol/agent-messages.js';
import { CloseCode } from '../../protocol/limits.js';
import { batchFrom, type GapReason, type LogBatch, splitBatch } from './batch.js';
import { createLineAssembler, type LineAssembler } from './line-assembler.js';
import { countLines, storable } from './lines.js';
import type { LogStore } from './store.js';

/** How far a console has come. */
export interface ConsoleState {
  serverId: string;
  nodeId: string;
  /** The last number that was taken; up to here nothing is taken again. */
  lastSeq: number;
  storedSeq: number;
  lastMicroseconds: number;
  /** Of an agent that does not number its lines. */
  assembler?: LineAssembler;
  /** Nonsense from an agent is logged once, not once a line. */
  hasComplained: boolean;
}

export type ConsoleReport = AgentMessageOf<'console_output'> | AgentMessageOf<'console_gap'>;

export interface Intake {
  /** Takes what an agent reports about a console: publishes it and has it stored. */
  accept(state: ConsoleState, connection: AgentConnection, report: ConsoleReport): void;
}

/** Partitions reach back to yesterday, and a clock that is ahead must not put lines into next week. */
const AGE_MAX_MS = 23 * 60 * 60 * 1000;
const AHEAD_MAX_MS = 5000;
/** No console leaves out more lines than that: such a number is wrong, and would use up those there are. */
const SEQUENCE_JUMP_MAX = 1e12;

export function createIntake({ store, bus, log }: { store: LogStore; bus: Bus; log: Log }): Intake {
  /** Agents that were sent away because there was no room: what they still say is said again later. */
  const sentAway = new WeakSet<AgentConnection>();

  function acceptOutput(
    state: ConsoleState,
    connection: AgentConnection,
    { stream, data: text, timestamp, seq, firstSeq: saidFirstSeq }: AgentMessageOf<'console_output'>,
  ): void {
    const data = storable(text);
    if (seq === undefined) {
      acceptUnnumbered(state, connection, stream, data);
      return;
    }
    const firstSeq = seq - countLines(data) + 1;
    const areWhole = data.endsWith('\n') && firstSeq >= 1 && (saidFirstSeq ?? firstSeq) === firstSeq;
    if (areWhole) acceptNumbered(state, connection, { seq, firstSeq, stream, data, timestamp });
    else complain(state, connection, 'its lines do not fit its numbers');
  }

  /** Numbered lines: what is known already is left out, what is missing is announced. */
  function acceptNumbered(
    state: ConsoleState,
    connection: AgentConnection,
    lines: { seq: number; firstSeq: number; stream: LogStream; data: string; timestamp: string | undefined },
  ): void {
    const { seq, firstSeq, stream, data, timestamp } = lines;
    if (seq <= state.lastSeq) {
      acknowledgeAgain(state, connection);
      return;
    }
    if (firstSeq > state.lastSeq + 1 && !announceGap(state, connection, firstSeq - 1, 'agent_restarted'))
      return;
    const microseconds = nextMicroseconds(state, timestamp);
    const batch: LogBatch = {
      serverId: state.serverId,
      nodeId: connection.nodeId,
      firstSeq,
      seq,
      stream,
      data,
      microseconds,
      isKeptByAgent: true,
    };
    take(state, connection, batchFrom(batch, state.lastSeq + 1));
  }

  function acceptUnnumbered(
    state: ConsoleState,
    connection: AgentConnection,
    stream: LogStream,
    data: string,
  ) {
    state.assembler ??= createLineAssembler((ofStream, lines) => {
      const firstSeq = state.lastSeq + 1;
      take(state, connection, {
        serverId: state.serverId,
        nodeId: state.nodeId,
        firstSeq,
        seq: state.lastSeq + countLines(lines),
        stream: ofStream,
        data: lines,
        microseconds: nextMicroseconds(state, undefined),
        isKeptByAgent: false,
      });
    });
    state.assembler.push(stream, data);
  }

  /** False when there was no room for it. */
  function take(state: ConsoleState, connection: AgentConnection, whole: LogBatch): boolean {
    if (whole.seq > Number.MAX_SAFE_INTEGER) return complain(state, connection, 'its numbers are used up');
    for (const batch of splitBatch(whole)) {
      const isTaken = store.add(batch);
      if (!isTaken && batch.isKeptByAgent) return sendAway(connection);
      state.lastSeq = batch.seq;
      state.lastMicroseconds = batch.microseconds + (batch.gap ? 0 : batch.seq - batch.firstSeq);
      publish(batch);
      if (!isTaken) bus.emit('console.gap', { ...rangeOf(batch), reason: 'not_stored' });
    }
    return true;
  }

  function publish(batch: LogBatch): void {
    if (batch.gap) {
      bus.emit('console.gap', { ...rangeOf(batch), reason: batch.gap });
      return;
    }
    const { serverId, stream, firstSeq, seq, data, microseconds } = batch;
    const timestamp = formatMicroseconds(microseconds);
    bus.emit('console.lines', { serverId, stream, firstSeq, seq, data, timestamp });
  }

  function announceGap(
    state: ConsoleState,
    connection: AgentConnection,
    to: number,
    gap: GapReason,
  ): boolean {
    return take(state, connection, {
      serverId: state.serverId,
      nodeId: connection.nodeId,
      firstSeq: state.lastSeq + 1,
      seq: to,
      stream: 'system',
      data: '',
      gap,
      microseconds: nextMicroseconds(state, undefined),
      isKeptByAgent: true,
    });
  }

  function sendAway(connection: AgentConnection): false {
    sentAway.add(connection);
    log.warn({ nodeId: connection.nodeId }, 'no room for more console lines, agent disconnected');
    connection.close(CloseCode.tooSlow, 'The panel cannot store console lines at the moment.');
    return false;
  }

  function acceptGap(
    state: ConsoleState,
    connection: AgentConnection,
    { from, to, reason }: AgentMessageOf<'console_gap'>,
  ): void {
    if (to < from || to <= state.lastSeq) {
      acknowledgeAgain(state, connection);
      return;
    }
    if (from > state.lastSeq + 1 && !announceGap(state, connection, from - 1, 'agent_restarted')) return;
    announceGap(state, connection, to, reason);
  }

  /** The lines' numbers are missing from then on, and that is announced with the next good ones. */
  function complain(state: ConsoleState, { nodeId }: AgentConnection, problem: string): false {
    if (!state.hasComplained) {
      log.warn({ nodeId, serverId: state.serverId, problem }, 'console output ignored');
    }
    state.hasComplained = true;
    return false;
  }

  return {
    accept(state, connection, report) {
      if (sentAway.has(connection)) return;
      state.nodeId = connection.nodeId;
      const seq = report.type === 'console_gap' ? report.to : report.seq;
      if (seq !== undefined && seq - state.lastSeq > SEQUENCE_JUMP_MAX) {
        complain(state, connection, 'its numbers are too far ahead');
        return;
      }
      if (report.type === 'console_gap') acceptGap(state, connection, report);
      else acceptOutput(state, connection, report);
    },
  };
}

/** The acknowledgement was lost with an earlier connection, or is on its way. */
function acknowledgeAgain({ serverId, storedSeq }: ConsoleState, connection: AgentConnection): void {
  if (storedSeq === 0 || !connection.capabilities.has(Capability.consoleSequence)) return;
  connection.send({ type: 'console_ack', serverId, seq: storedSeq });
}

function rangeOf({ serverId, firstSeq, seq }: LogBatch): { serverId: string; from: number; to: number } {
  return { serverId, from: firstSeq, to: seq };
}

/** The agent's time as far as it is believable, and later than the server's last line. */
function nextMicroseconds(state: ConsoleState, timestamp: string | undefined): number {
  const now = Date.now();
  const said = timestamp === undefined ? now : Date.parse(timestamp);
  const believed = Math.min(Math.max(said, now - AGE_MAX_MS), now + AHEAD_MAX_MS);
  return Math.max(believed * 1000, state.lastMicroseconds + 1);
}
