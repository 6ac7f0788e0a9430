import { type AgentMessageOf, Capability, type RuntimeKind } from '../src/protocol/agent-messages.js';
import { PROTOCOL_VERSION } from '../src/protocol/limits.js';
import { AGENT_VERSION } from './version.js';

/** Who this agent is and what it can do. */
export function handshakeOf({
  nodeId,
  token,
  runtime,
  hasProjectQuotas,
}: {
  nodeId: string;
  token: string;
  runtime: RuntimeKind;
  hasProjectQuotas: boolean;
}): AgentMessageOf<'node_handshake'> {
  return {
    type: 'node_handshake',
    nodeId,
    token,
    protocolVersion: PROTOCOL_VERSION,
    capabilities: capabilitiesOf(runtime, hasProjectQuotas),
    agentVersion: AGENT_VERSION,
    runtime,
  };
}

function capabilitiesOf(runtime: RuntimeKind, hasProjectQuotas: boolean): string[] {
  const missing = new Set<string>();
  // Plain processes share the node's own addresses.
  if (runtime !== 'docker') missing.add(Capability.networks);
  if (!hasProjectQuotas) missing.add(Capability.projectQuotas);
  return Object.values(Capability).filter((capability) => !missing.has(capability));
}
