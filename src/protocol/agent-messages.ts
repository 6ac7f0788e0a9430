import { z } from 'zod';
import { CONSOLE_COMMAND_MAX_LENGTH } from './limits.js';
import { ServerAddress, ServerSpecification } from './server-specification.js';

/**
 * What agents and the panel say to each other over `/ws`, as JSON text frames.
 *
 * The documented messages come first in each half; fields and types marked "added" are spoken only
 * between ends that announced them in the handshake. Both ends ignore fields they do not know.
 */

/** What this panel and this agent can do beyond the documented messages. */
export const Capability = {
  /** `commandId` on commands, `command_result` in answer. */
  commandResults: 'command-results',
  /** `inventory` after each handshake. */
  inventory: 'inventory',
  /** Numbered console lines, acknowledged with `console_ack` and sent again after a reconnect. */
  consoleSequence: 'console-sequence',
  /** The agent restarts crashed servers by the policy in `start_server`. */
  crashPolicy: 'crash-policy',
  /** `crash_policy`: the policy and the count of a server change without a start. */
  crashPolicyUpdates: 'crash-policy-updates',
  /** `configFiles` in `start_server` are applied before the start. */
  configFiles: 'config-files',
  /** `network` in `start_server`: the server has an address of its own. */
  networks: 'networks',
  /** `rotate_secret`. */
  secretRotation: 'secret-rotation',
  /** `disk_limit`: what a server's files may take changes without a start. */
  diskLimits: 'disk-limits',
  /** The file system of the node's servers holds them to their disk limits by itself. */
  projectQuotas: 'project-quotas',
  /** A second connection, for files: see `data-plane.ts`. */
  dataPlane: 'data-plane',
} as const;

const Id = z.string().min(1).max(64);
const Uuid = z.uuid();
const Count = z.number().int().nonnegative();
const Sequence = z.number().int().min(1).max(Number.MAX_SAFE_INTEGER);
const Timestamp = z.iso.datetime();
const Sentence = z.string().max(2000);

export const LogStream = z.enum(['stdout', 'stderr', 'system']);
export type LogStream = z.infer<typeof LogStream>;

export const AgentServerState = z.enum([
  'stopped',
  'installing',
  'starting',
  'running',
  'stopping',
  'crashed',
]);
export type AgentServerState = z.infer<typeof AgentServerState>;

export const RuntimeKind = z.enum(['docker', 'process']);
export type RuntimeKind = z.infer<typeof RuntimeKind>;

// ── agent → panel ──────────────────────────────────────────────────────────────────────────────

const NodeHandshake = z.object({
  type: z.literal('node_handshake'),
  nodeId: Id,
  token: z.string().min(1).max(512),
  // added
  protocolVersion: Count.optional(),
  capabilities: z.array(z.string().max(64)).max(64).optional(),
  agentVersion: z.string().max(64).optional(),
  runtime: RuntimeKind.optional(),
});

const Heartbeat = z.object({ type: z.literal('heartbeat') });

/** How a server is, and how it came to be so. */
const Observation = z.object({
  state: AgentServerState,
  exitCode: z.number().int().nullable().optional(),
  oomKilled: z.boolean().optional(),
  /** A sentence for the user: "exited with code 1", "the install script failed with code 2". */
  reason: Sentence.nullable().optional(),
  /** Added: `disk_limit` when the agent stopped it, or does not start it, because its files take more than they may. */
  cause: z.string().max(64).optional(),
  containerId: z.string().max(128).nullable().optional(),
  startedAt: Timestamp.nullable().optional(),
  /** Crashes since the last healthy ten minutes. */
  crashCount: Count.optional(),
  /** The agent will start the server again after this time. */
  restartInMs: Count.optional(),
});

const ServerStateUpdate = Observation.extend({
  type: z.literal('server_state_update'),
  serverId: Id,
  // "suspended" is in the documented list of states; it is the panel's alone and refused from an agent.
  state: z.enum([...AgentServerState.options, 'suspended']),
  message: Sentence.nullable().optional(),
});

const ConsoleOutput = z.object({
  type: z.literal('console_output'),
  serverId: Id,
  stream: LogStream,
  /** Whole lines, each ended by \n, when `seq` is given. */
  data: z.string(),
  // added: the numbers of the last and the first line in `data`, and when the last was read
  seq: Sequence.optional(),
  firstSeq: Sequence.optional(),
  timestamp: Timestamp.optional(),
});

/** Added: lines `from`–`to` were numbered but will never come. */
const ConsoleGap = z.object({
  type: z.literal('console_gap'),
  serverId: Id,
  from: Sequence,
  to: Sequence,
  reason: z.enum(['throttled', 'buffer_overflow', 'agent_restarted']),
});

const ResourceStats = z.object({
  type: z.literal('resource_stats'),
  serverId: Id,
  /** Percent of one core: 200 is two cores busy. */
  cpu: z.number().nonnegative(),
  memoryMb: z.number().nonnegative(),
  networkSent: Count,
  networkReceived: Count,
  diskUsageMb: z.number().nonnegative().optional(),
});

const HealthReport = z.object({
  type: z.literal('health_report'),
  nodeId: Id,
  cpuPercent: z.number().min(0).max(100),
  memoryUsageMb: z.number().nonnegative(),
  memoryTotalMb: z.number().nonnegative(),
  diskUsageMb: z.number().nonnegative(),
  diskTotalMb: z.number().nonnegative(),
  containerCount: Count,
  uptimeSeconds: z.number().nonnegative(),
});

/** Added: a command was carried out, or refused and why. */
const CommandResult = z.object({
  type: z.literal('command_result'),
  commandId: Id,
  ok: z.boolean(),
  code: z.string().max(64).optional(),
  message: Sentence.optional(),
});

/** Added: everything the agent knows of, right after the handshake. */
const Inventory = z.object({
  type: z.literal('inventory'),
  servers: z.array(Observation.extend({ serverId: Id, serverUuid: Uuid })).max(10_000),
});

/** Added: how far an installation is. `percent` is null while it cannot be told. */
const InstallProgress = z.object({
  type: z.literal('install_progress'),
  serverId: Id,
  phase: z.enum(['preparing', 'pulling', 'installing', 'creating', 'done']),
  percent: z.number().min(0).max(100).nullable(),
  message: Sentence.optional(),
});

export const AgentMessage = z.discriminatedUnion('type', [
  NodeHandshake,
  Heartbeat,
  ServerStateUpdate,
  ConsoleOutput,
  ConsoleGap,
  ResourceStats,
  HealthReport,
  CommandResult,
  Inventory,
  InstallProgress,
]);
export type AgentMessage = z.infer<typeof AgentMessage>;
export type AgentMessageOf<Type extends AgentMessage['type']> = Extract<AgentMessage, { type: Type }>;
export type ServerObservation = z.infer<typeof Observation>;
export type InventoryEntry = z.infer<typeof Inventory>['servers'][number];

// ── panel → agent ──────────────────────────────────────────────────────────────────────────────

const NodeHandshakeResponse = z.object({
  type: z.literal('node_handshake_response'),
  nodeId: Id,
  // added
  protocolVersion: Count.optional(),
  capabilities: z.array(z.string().max(64)).max(64).optional(),
  heartbeatIntervalMs: z.number().int().positive().optional(),
  /** The node secret, once, in exchange for a deployment token: keep it and use it from now on. */
  secret: z.string().max(512).optional(),
  /** The last console line that the panel has of each server: the agent goes on after it. */
  console: z.array(z.object({ serverId: Id, seq: Count })).optional(),
});

const InstallServer = ServerSpecification.extend({ type: z.literal('install_server') });
const StartServer = ServerSpecification.extend({ type: z.literal('start_server') });
const StopServer = ServerAddress.extend({
  type: z.literal('stop_server'),
  // added: how long to wait before the kill
  timeoutSeconds: z.number().int().positive().optional(),
});
/** Documented with the address only; this panel adds the whole specification, so that changes apply. */
const RestartServer = ServerSpecification.partial()
  .extend(ServerAddress.shape)
  .extend({ type: z.literal('restart_server') });
/** Added: SIGKILL, now. */
const KillServer = ServerAddress.extend({ type: z.literal('kill_server') });
/** Added: remove the container and the server's directory. */
const DeleteServer = ServerAddress.extend({ type: z.literal('delete_server') });
/** Added: the crash policy of a server that may be running. */
const CrashPolicyUpdate = ServerAddress.extend({
  type: z.literal('crash_policy'),
  restartPolicy: z.enum(['always', 'on-failure', 'never']),
  maxCrashCount: Count,
  /** Its crashes are forgotten, too. */
  resetCrashCount: z.boolean(),
});
/** Added: what the files of a server may take from now on, also while it is down. */
const DiskLimit = ServerAddress.extend({
  type: z.literal('disk_limit'),
  diskMb: z.number().int().positive(),
});
/** Added: keep this secret and connect again with it; the old one does not count any more. */
const RotateSecret = z.object({ type: z.literal('rotate_secret'), secret: z.string().min(1).max(512) });
const ConsoleInput = z.object({
  type: z.literal('console_input'),
  serverId: Id,
  data: z.string().max(CONSOLE_COMMAND_MAX_LENGTH),
});
const ExecuteCommand = ServerAddress.extend({
  type: z.literal('execute_command'),
  command: z.string().max(CONSOLE_COMMAND_MAX_LENGTH),
});
/** Added: every line up to `seq` is stored; the agent may forget it. */
const ConsoleAck = z.object({ type: z.literal('console_ack'), serverId: Id, seq: Count });
/** Something that the agent sent was not understood or not allowed; the connection stays. */
const ErrorMessage = z.object({ type: z.literal('error'), code: z.string(), message: z.string() });

export const PanelMessage = z.discriminatedUnion('type', [
  NodeHandshakeResponse,
  InstallServer,
  StartServer,
  StopServer,
  RestartServer,
  KillServer,
  DeleteServer,
  CrashPolicyUpdate,
  DiskLimit,
  RotateSecret,
  ConsoleInput,
  ExecuteCommand,
  ConsoleAck,
  ErrorMessage,
]);
export type PanelMessage = z.infer<typeof PanelMessage>;
export type PanelMessageOf<Type extends PanelMessage['type']> = Extract<PanelMessage, { type: Type }>;
