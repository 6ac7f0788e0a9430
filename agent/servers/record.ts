import { z } from 'zod';
import { AgentServerState, RuntimeKind } from '../../src/protocol/agent-messages.js';
import { ConfigFile, ServerNetwork } from '../../src/protocol/server-specification.js';
import { UUID_PATTERN } from '../runtime/runtime.js';

/** What of a specification outlives the command that brought it; paths are derived anew each time. */
export const Launch = z.object({
  containerName: z.string(),
  image: z.string(),
  command: z.array(z.string()),
  environment: z.record(z.string(), z.string()),
  memoryMb: z.number(),
  cpuCores: z.number(),
  diskMb: z.number(),
  ports: z.array(z.object({ hostIp: z.string(), hostPort: z.number(), containerPort: z.number() })),
  networkMode: z.string(),
  dataPath: z.string(),
  installImage: z.string().nullable(),
  installScript: z.string().nullable(),
  stopCommand: z.string().nullable(),
  stopSignal: z.string().nullable(),
  startupDetection: z.string().nullable(),
  restartPolicy: z.enum(['always', 'on-failure', 'never']),
  maxCrashCount: z.number().int().nonnegative(),
  // Absent in what earlier agents wrote.
  installShell: z.string().default('sh'),
  installDataPath: z.string().nullable().default(null),
  installAsRoot: z.boolean().default(false),
  configFiles: z.array(ConfigFile).default([]),
  network: ServerNetwork.nullable().default(null),
});
export type Launch = z.infer<typeof Launch>;

/** Everything the agent must remember of a server, as it is kept in `state/<uuid>.json`. */
export const ServerRecord = z.object({
  serverId: z.string().min(1),
  uuid: z.string().regex(UUID_PATTERN),
  runtime: RuntimeKind,
  launch: Launch,
  isInstalled: z.boolean(),
  /** A script that ran as root may have left files that are not the servers' user's. */
  isOwnershipUnsettled: z.boolean().default(false),
  /** It was stopped for what its files take, or was not started for it. */
  isOverDiskLimit: z.boolean().default(false),
  state: AgentServerState,
  desired: z.enum(['running', 'stopped']),
  /** An end of the run that somebody asked for, and what is to follow it. Null: an end would be a crash. */
  intent: z.enum(['stop', 'restart']).nullable(),
  containerId: z.string().nullable(),
  startedAt: z.iso.datetime().nullable(),
  /** Since when it has been `running`. */
  runningAt: z.iso.datetime().nullable(),
  /** The number of the first console line of the run. */
  runFirstSeq: z.number().int().positive(),
  exitCode: z.number().int().nullable(),
  oomKilled: z.boolean(),
  reason: z.string().nullable(),
  crashCount: z.number().int().nonnegative(),
  lastCrashAt: z.iso.datetime().nullable(),
  /** When the crash policy starts it again. */
  restartAt: z.iso.datetime().nullable(),
});
export type ServerRecord = z.infer<typeof ServerRecord>;

export function newRecord(
  identity: Pick<ServerRecord, 'serverId' | 'uuid' | 'runtime'>,
  launch: Launch,
): ServerRecord {
  return {
    ...identity,
    launch,
    isInstalled: false,
    isOwnershipUnsettled: false,
    isOverDiskLimit: false,
    state: 'stopped',
    desired: 'stopped',
    intent: null,
    containerId: null,
    startedAt: null,
    runningAt: null,
    runFirstSeq: 1,
    exitCode: null,
    oomKilled: false,
    reason: null,
    crashCount: 0,
    lastCrashAt: null,
    restartAt: null,
  };
}
