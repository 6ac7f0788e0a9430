import type { Context } from '../context.js';
import type { Origin } from '../lib/actor.js';
import { isSameSecret } from '../lib/secrets.js';
import type { AgentCredential } from '../modules/nodes/enrolment.js';
import { type AgentMessageOf, Capability, type PanelMessageOf } from '../protocol/agent-messages.js';
import { PROTOCOL_VERSION } from '../protocol/limits.js';

/** What the address of the connection proved. */
export interface Claim {
  nodeId: string;
  token: string;
  credential: AgentCredential;
  /** From where it came, for the audit log. */
  origin: Origin;
}

/** Every credential of a handshake that is good for the claimed node; null when one of them is not. */
export async function checkHandshake(
  nodes: Context['nodes'],
  claim: Claim,
  message: AgentMessageOf<'node_handshake'>,
): Promise<AgentCredential[] | null> {
  if (message.nodeId !== claim.nodeId) return null;
  if (isSameSecret(message.token, claim.token)) return [claim.credential];
  const credential = await nodes.authenticateAgent({ nodeId: claim.nodeId, token: message.token });
  return credential && [claim.credential, credential];
}

export interface Redeemed {
  secretVersion: string;
  /** The node's secret, in exchange for a deployment token; undefined when the agent had it already. */
  secret: string | undefined;
}

/** Uses deployment tokens up. Null when one was used, or the secret of the node was replaced meanwhile. */
export async function redeem(
  nodes: Context['nodes'],
  credentials: readonly AgentCredential[],
  origin: Origin,
): Promise<Redeemed | null> {
  const versions = new Set<string>();
  let secret: string | undefined;
  for (const credential of credentials) {
    if (credential.kind === 'secret') {
      versions.add(credential.secretVersion);
      continue;
    }
    const exchanged = await nodes.redeemDeploymentToken(credential.tokenId, origin);
    if (exchanged === null) return null;
    versions.add(exchanged.secretVersion);
    secret = exchanged.secret;
  }
  const [secretVersion, ...others] = versions;
  return secretVersion === undefined || others.length > 0 ? null : { secretVersion, secret };
}

export function handshakeResponse(options: {
  nodeId: string;
  heartbeatIntervalMs: number;
  resumePoints: ReadonlyMap<string, number>;
  secret: string | undefined;
}): PanelMessageOf<'node_handshake_response'> {
  const { nodeId, heartbeatIntervalMs, resumePoints, secret } = options;
  return {
    type: 'node_handshake_response',
    nodeId,
    protocolVersion: PROTOCOL_VERSION,
    capabilities: Object.values(Capability),
    heartbeatIntervalMs,
    console: [...resumePoints].map(([serverId, seq]) => ({ serverId, seq })),
    ...(secret !== undefined && { secret }),
  };
}
