import type { PowerAction, ServerStatus } from '../../../generated/prisma/enums.js';
import type { AgentServerState } from '../../../protocol/agent-messages.js';

/** What an agent may report next. The same state again is always allowed. */
const REPORTABLE: Record<ServerStatus, readonly AgentServerState[]> = {
  stopped: ['installing', 'starting'],
  // A documented agent has no other word for an installation that failed.
  installing: ['stopped', 'crashed'],
  starting: ['running', 'stopping', 'stopped', 'crashed'],
  running: ['stopping', 'stopped', 'crashed', 'starting'],
  stopping: ['stopped', 'crashed', 'running', 'starting'],
  crashed: ['starting', 'stopped', 'installing'],
  // The panel's alone: the servers of both nodes are none of an agent's business meanwhile.
  transferring: [],
};

/** Whether an agent may say that a server went from one state to another while this action is under way. */
export function isReportable(
  from: ServerStatus,
  to: AgentServerState,
  activeAction: PowerAction | null,
): boolean {
  if (from === to) return true;
  // Between the two halves of a restart an agent may leave "starting" out.
  if (from === 'stopped' && to === 'running' && activeAction === 'restart') return true;
  return REPORTABLE[from].includes(to);
}

/** The reports that end an action: until then it holds the server. */
const ENDED_BY: Record<PowerAction, readonly AgentServerState[]> = {
  install: ['stopped', 'crashed'],
  // Any word of the agent: a server that is `starting` can be stopped.
  start: ['stopped', 'installing', 'starting', 'running', 'stopping', 'crashed'],
  stop: ['stopped', 'crashed'],
  restart: ['running', 'crashed'],
  kill: ['stopped', 'crashed'],
  delete: [],
};

export function endsAction(action: PowerAction | null, state: AgentServerState): boolean {
  return action !== null && ENDED_BY[action].includes(state);
}
