import { toInt4 } from '../../../lib/schemas.js';
import type { ServerObservation } from '../../../protocol/agent-messages.js';
import { NO_ACTION, type ServerState } from '../state.js';
import { endsAction, isReportable } from './transitions.js';

export interface Observed {
  observation: ServerObservation & { message?: string | null | undefined };
  /** A report is held against the transitions; an inventory is the truth after a time in which nobody watched. */
  source: 'report' | 'inventory';
  now: Date;
}

/** The server after an agent has said how it is; null when it cannot have become so. */
export function observe(server: ServerState, { observation, source, now }: Observed): ServerState | null {
  const { state } = observation;
  if (server.status === 'transferring') return null;
  if (source === 'report' && !isReportable(server.status, state, server.activeAction)) return null;
  const isChange = state !== server.status;
  const isDown = state === 'stopped' || state === 'crashed';
  const exitCode = typeof observation.exitCode === 'number' ? toInt4(observation.exitCode) : null;
  const reason = text(observation.reason ?? observation.message);
  return {
    ...server,
    status: state,
    desiredState: source === 'report' ? desiredAfter(server, state) : server.desiredState,
    statusReason: isChange ? (reason ?? null) : (reason ?? server.statusReason),
    exitCode: isDown ? (exitCode ?? (isChange ? null : server.exitCode)) : null,
    oomKilled: isDown ? (observation.oomKilled ?? (isChange ? null : server.oomKilled)) : null,
    startedAt: isDown ? null : startedAt(server, observation, now),
    installedAt: hasInstalled(server, observation) ? now : server.installedAt,
    containerId: observation.containerId === undefined ? server.containerId : text(observation.containerId),
    crashCount: toInt4(
      observation.crashCount ?? server.crashCount + (isChange && state === 'crashed' ? 1 : 0),
    ),
    lastCrashAt: isChange && state === 'crashed' ? now : server.lastCrashAt,
    ...(endsAction(server.activeAction, state) && NO_ACTION),
  };
}

/** What ended although nobody asked for it is not wanted any more; what was started again is. */
function desiredAfter(server: ServerState, state: ServerObservation['state']): ServerState['desiredState'] {
  const isChange = state !== server.status;
  if (isChange && state === 'stopped' && server.activeAction !== 'restart') return 'stopped';
  const wasDown = server.status === 'stopped' || server.status === 'crashed';
  const isAskedToStop = server.activeAction === 'stop' || server.activeAction === 'kill';
  const mayRun = !isAskedToStop && !server.suspendedAt && !server.deletionRequestedAt;
  if (wasDown && (state === 'starting' || state === 'running') && mayRun) return 'running';
  return server.desiredState;
}

/**
 * Documented agents say nothing about how an installation ended but `stopped`. One that failed gives a
 * reason or an exit code, and one that was killed has not installed anything either.
 */
function hasInstalled(server: ServerState, { state, reason, exitCode }: ServerObservation): boolean {
  return (
    server.status === 'installing' &&
    state === 'stopped' &&
    server.activeAction !== 'kill' &&
    !reason &&
    (exitCode ?? 0) === 0
  );
}

function startedAt(server: ServerState, observation: ServerObservation, now: Date): Date | null {
  if (observation.startedAt) return new Date(observation.startedAt);
  if (observation.state !== 'running') return observation.state === server.status ? server.startedAt : null;
  return server.status === 'running' ? server.startedAt : now;
}

/** PostgreSQL stores no NUL. */
function text(value: string | null | undefined): string | null {
  return value?.replaceAll('\0', '') ?? null;
}
