import { type AgentMessageOf, Capability, type RuntimeKind } from '../src/protocol/agent-messages.js';
import { PROTOCOL_VERSION } from '../src/protocol/limits.js';
import { AGENT_VERSION } from './version.js';

/** Who this agent is and what it can do. */
export function handshakeOf({
  nodeId,
  token,
  runtime,
}: {
  nodeId: string;
  token: string;
  runtime: RuntimeKind;
}): AgentMessageOf<'node_handshake'> {
  return {
    type: 'node_handshake',
    nodeId,
    token,
    protocolVersion: PROTOCOL_VERSION,
    capabilities: capabilitiesOf(runtime),
    agentVersion: AGENT_VERSION,
    runtime,
  };
}

/** Plain processes share the node's own addresses. */
function capabilitiesOf(runtime: RuntimeKind): string[] {
  const all: string[] = Object.values(Capability);
  return runtime === 'docker' ? all : all.filter((capability) => capability !== Capability.networks);
}
