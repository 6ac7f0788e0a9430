import type { Logger } from 'pino';
import type { AgentMessage, ServerObservation } from '../../src/protocol/agent-messages.js';
import { DISK_LIMIT } from './disk-limit.js';
import type { ServerRecord } from './record.js';

/** What is known of one server, on the disk and in front of the panel. */
export interface Status {
  readonly record: ServerRecord;
  /** Change it and write it down. */
  remember(changes: Partial<ServerRecord>): void;
  /** Change it, write it down and tell the panel. */
  update(changes: Partial<ServerRecord>): void;
  /** Tell the panel how it is. */
  report(): void;
  observe(): ServerObservation;
}

/** In these a server can be because it takes too much of the disk. */
const STOPS: ServerRecord['state'][] = ['stopping', 'stopped', 'crashed'];

export interface StatusOptions {
  record: ServerRecord;
  save(record: ServerRecord): void;
  publish(message: AgentMessage): void;
  log: Logger;
}

export function createStatus({ record: initial, save, publish, log }: StatusOptions): Status {
  let record = initial;
  const { serverId } = record;

  function remember(changes: Partial<ServerRecord>) {
    record = { ...record, ...changes };
    save(record);
  }

  function report() {
    publish({ type: 'server_state_update', serverId, ...observe(), message: record.reason });
  }

  function observe(): ServerObservation {
    const { state, exitCode, oomKilled, reason, containerId, startedAt, crashCount, restartAt } = record;
    const isStoppedForDisk = record.isOverDiskLimit && STOPS.includes(state);
    const restartInMs = restartAt === null ? null : Math.max(0, Date.parse(restartAt) - Date.now());
    return {
      state,
      exitCode,
      oomKilled,
      reason,
      containerId,
      startedAt,
      crashCount,
      ...(isStoppedForDisk && { cause: DISK_LIMIT }),
      ...(restartInMs !== null && { restartInMs }),
    };
  }

  return {
    get record() {
      return record;
    },
    remember,
    update(changes) {
      remember(changes);
      report();
      log.info({ serverId, state: record.state, reason: record.reason }, 'server state changed');
    },
    report,
    observe,
  };
}
