import { EventEmitter } from 'node:events';
import type { LogStream } from './protocol/agent-messages.js';
import type {
  ClientServerState,
  FileTask,
  InstallProgressMessage,
  LogGapMessage,
} from './protocol/client-messages.js';

/** What happened, in the past tense. For live views only: what must survive is a row first. */
export interface Events {
  'console.lines': [ConsoleLines];
  'console.gap': [Omit<LogGapMessage, 'type'>];
  'server.stateChanged': [ServerStateChanged];
  'server.statsReported': [ServerStats];
  'server.installProgressed': [Omit<InstallProgressMessage, 'type'>];
  'server.fileTaskChanged': [FileTask];
  'server.deleted': [{ serverId: string }];
  /** To another node: the agent of the old one has nothing to say about it any more. */
  'server.moved': [{ serverId: string }];
  /** Somebody's rights on a server, or in general (no serverId), are not what they were. */
  'access.changed': [{ userId?: string; serverId?: string }];
  'session.revoked': [{ sessionId: string; userId: string }];
  'apiKey.revoked': [{ apiKeyId: string; userId: string }];
  'node.disconnected': [{ nodeId: string }];
}

export interface ConsoleLines {
  serverId: string;
  stream: LogStream;
  firstSeq: number;
  seq: number;
  /** Of the first line, ISO 8601, with microseconds where there are any; each further line is one later. */
  timestamp: string;
  /** Whole lines, each ended by \n. */
  data: string;
}

export interface ServerStateChanged {
  serverId: string;
  nodeId: string;
  state: ClientServerState;
  previousState: ClientServerState;
  reason: string | null;
  exitCode: number | null;
  oomKilled: boolean | null;
}

export interface ServerStats {
  serverId: string;
  cpu: number;
  memoryMb: number;
  networkSent: number;
  networkReceived: number;
  diskUsageMb?: number;
}

export type Bus = EventEmitter<Events>;

export function createBus(): Bus {
  const bus = new EventEmitter<Events>();
  bus.setMaxListeners(100);
  return bus;
}
