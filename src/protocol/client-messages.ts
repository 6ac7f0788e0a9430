import { z } from 'zod';
import { AgentServerState, type LogStream } from './agent-messages.js';
import { CONSOLE_COMMAND_MAX_LENGTH } from './limits.js';

/** What dashboards and console watchers and the panel say to each other over `/ws`, as JSON text frames. */

/** PostgreSQL, where it is looked up, takes no NUL. */
const Id = z
  .string()
  .max(64)
  .regex(/^[^\0]+$/);

export const ClientEvent = z.enum(['server_log', 'server_state_update', 'resource_stats', 'file_task']);
export type ClientEvent = z.infer<typeof ClientEvent>;

// ── client → panel ─────────────────────────────────────────────────────────────────────────────

export const ClientMessage = z.discriminatedUnion('type', [
  /** Added: instead of `?token=` in the address, as the first message. */
  z.object({ type: z.literal('authenticate'), token: z.string().min(1).max(4096) }),
  z.object({
    type: z.literal('subscribe'),
    serverId: Id,
    /** Left out: all of them. */
    events: z.array(ClientEvent).min(1).max(16).optional(),
    /** Added: the last `seq` the client has seen; what came after it is sent first. */
    since: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).optional(),
  }),
  z.object({ type: z.literal('unsubscribe'), serverId: Id }),
  z.object({
    type: z.literal('console_input'),
    serverId: Id,
    data: z.string().min(1).max(CONSOLE_COMMAND_MAX_LENGTH),
  }),
]);
export type ClientMessage = z.infer<typeof ClientMessage>;

// ── panel → client ─────────────────────────────────────────────────────────────────────────────
// The panel only ever writes these, so they are types, not schemas.

export interface ServerLogMessage {
  type: 'server_log';
  serverId: string;
  stream: LogStream;
  /** Whole lines, each ended by \n. */
  data: string;
  timestamp: string;
  /** The numbers of the last and the first line in `data`. */
  seq: number;
  firstSeq: number;
}

/** Lines `from`–`to` will not come on this connection. */
export interface LogGapMessage {
  type: 'log_gap';
  serverId: string;
  from: number;
  to: number;
  /** `throttled`, `buffer_overflow`, `agent_restarted`: nobody has them. `slow_subscriber`, `too_old`: ask `GET …/logs`. */
  reason: 'throttled' | 'buffer_overflow' | 'agent_restarted' | 'slow_subscriber' | 'too_old' | 'not_stored';
}

export const ClientServerState = z.enum([...AgentServerState.options, 'transferring', 'suspended']);
export type ClientServerState = z.infer<typeof ClientServerState>;

/** What clients are shown: suspension covers everything else. */
export function shownStatus(server: {
  status: Exclude<ClientServerState, 'suspended'>;
  suspendedAt: Date | null;
}): ClientServerState {
  return server.suspendedAt ? 'suspended' : server.status;
}

export interface ServerStateMessage {
  type: 'server_state_update';
  serverId: string;
  state: ClientServerState;
  previousState: ClientServerState;
  reason?: string | null;
  exitCode?: number | null;
  oomKilled?: boolean | null;
}

export interface ResourceStatsMessage {
  type: 'resource_stats';
  serverId: string;
  cpu: number;
  memoryMb: number;
  networkSent: number;
  networkReceived: number;
  diskUsageMb?: number;
}

export interface InstallProgressMessage {
  type: 'install_progress';
  serverId: string;
  phase: string;
  percent: number | null;
  message?: string;
}

/** Work on the files of a server that takes long: making or unpacking an archive, fetching a file. */
export interface FileTask {
  taskId: string;
  serverId: string;
  kind: 'compress' | 'decompress' | 'pull';
  state: 'running' | 'done' | 'failed' | 'cancelled';
  /** `totalBytes` is null while it is not known. */
  progress: { doneBytes: number; totalBytes: number | null; doneEntries: number };
  /** Null: the panel itself. */
  startedBy: { userId: string; username: string } | null;
  startedAt: string;
  endedAt: string | null;
  /** When it is done: what came of it, and how much that is. */
  result: { path: string; bytes: number; entries: number } | null;
  /** When it failed or was cancelled. */
  error: { code: string; message: string } | null;
}

/** Added, for those with `file.read`: twice a second at most, and always when it ends. */
export interface FileTaskMessage {
  type: 'file_task';
  serverId: string;
  task: FileTask;
}

export type PanelToClientMessage =
  | ServerLogMessage
  | LogGapMessage
  | ServerStateMessage
  | ResourceStatsMessage
  | { type: 'authenticated'; userId: string }
  | { type: 'subscribed'; serverId: string; events: ClientEvent[]; seq: number; state: ClientServerState }
  | { type: 'unsubscribed'; serverId: string; reason?: string }
  | InstallProgressMessage
  | FileTaskMessage
  | { type: 'error'; code: string; message: string; serverId?: string };
