import type { WebSocket } from 'ws';
import type { Context } from '../context.js';
import type { AgentMessageOf } from '../protocol/agent-messages.js';
import { CloseCode } from '../protocol/limits.js';
import { createAgentConnection } from './connection.js';
import type { Sender } from './handlers.js';
import { type Claim, checkHandshake, handshakeResponse, redeem } from './handshake.js';
import { createOwnership, type Ownership } from './ownership.js';
import type { Presence } from './presence.js';
import type { Valve } from './valve.js';
import type { Violations } from './violations.js';

/** Names and versions as they are: what else an agent says of itself is neither kept nor shown. */
const PLAIN = /^[\w.+-]{1,64}$/;

/** A session whose agent has said who it is and was believed. */
export interface Admitted extends Sender {
  ownership: Ownership;
}

export interface Applicant {
  context: Context;
  presence: Presence;
  socket: WebSocket;
  valve: Valve;
  claim: Claim;
  violations: Violations;
}

/**
 * Checks the handshake, makes the connection the node's own and answers; an older connection is closed after that.
 * Null when the agent is not who it says or has gone meanwhile.
 */
export async function admit(
  applicant: Applicant,
  message: AgentMessageOf<'node_handshake'>,
): Promise<Admitted | null> {
  const { context, presence, socket, claim } = applicant;
  const { nodes, servers, log } = context;
  const { nodeId } = claim;
  const credentials = await checkHandshake(nodes, claim, message);
  if (!credentials) return reject(applicant);
  const placed = await servers.placedOn(nodeId);
  const resumePoints = await context.console.resumePoints(placed.map(({ serverId }) => serverId));
  const capabilities = new Set(message.capabilities?.filter((name) => PLAIN.test(name)));
  const { runtime } = message;
  const agentVersion = PLAIN.test(message.agentVersion ?? '') ? message.agentVersion : undefined;
  let isArrived = false;
  try {
    await presence.arriving(nodeId, { runtime, agentVersion, capabilities });
    if (socket.readyState !== socket.OPEN) return null;
    const redeemed = await redeem(nodes, credentials, claim.origin);
    if (redeemed === null) return reject(applicant);
    const { secret, secretVersion } = redeemed;
    const { valve } = applicant;
    const connection = createAgentConnection({ socket, valve, nodeId, secretVersion, capabilities });
    // From here on without a pause, so that the answer is the first thing that the agent hears.
    const older = context.agents.attach(connection);
    isArrived = true;
    // Online only now: whoever sees it so and asks something of the node reaches its agent.
    presence.seen(nodeId);
    const heartbeatIntervalMs = context.config.HEARTBEAT_INTERVAL_MS;
    connection.send(handshakeResponse({ nodeId, heartbeatIntervalMs, resumePoints, secret }));
    older?.close(CloseCode.replaced, 'A newer connection of this node took over.');
    log.info({ nodeId, runtime, agentVersion, servers: placed.length }, 'an agent connected');
    const ownership = createOwnership({
      serverIds: placed.map(({ serverId }) => serverId),
      isPlacedHere: (serverId) => servers.isPlacedOn(nodeId, serverId),
    });
    const commandsBefore = new Set(placed.flatMap(({ activeCommandId }) => activeCommandId ?? []));
    return { connection, ownership, commandsBefore, violations: applicant.violations };
  } finally {
    presence.arrived(nodeId);
    if (!isArrived) presence.left(nodeId);
  }
}

function reject({ context, socket, claim }: Applicant): null {
  context.log.warn(
    { nodeId: claim.nodeId },
    'an agent whose handshake does not fit its node was turned away',
  );
  socket.close(CloseCode.unauthorized, 'The handshake does not fit this node.');
  return null;
}
