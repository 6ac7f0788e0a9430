import WebSocket from 'ws';
import { Capability, type PanelMessage } from '../../src/protocol/agent-messages.js';
import { CONSOLE_WINDOW_BYTES, HEARTBEAT_INTERVAL_MS, PROTOCOL_VERSION } from '../../src/protocol/limits.js';
import { monotonicMs } from './lines.js';
import { createOutbox, type OutboxCounts } from './outbox.js';
import { type Load, playGame } from './writer.js';

const ACKNOWLEDGEMENT_TIMEOUT_MS = 60_000;

export interface AgentAddress {
  /** `ws://host:port/ws` */
  url: string;
  nodeId: string;
  token: string;
  serverId: string;
  serverUuid: string;
}

export interface LoadResult extends OutboxCounts {
  firstSeq: number;
  lastSeq: number;
  /** Until the panel had acknowledged the last line. */
  elapsedMs: number;
}

export type SimulatedAgentRole = ReturnType<typeof createSimulatedAgentRole>;

/** An agent with one server that writes as asked; it numbers, batches and keeps the window as a real one does. */
export function createSimulatedAgentRole() {
  let socket: WebSocket | undefined;
  let outbox = createOutbox({ startSeq: 0, windowBytes: CONSOLE_WINDOW_BYTES, send: () => {} });
  let deliveredSeq = 0;
  let isStopped = false;

  function handle(message: PanelMessage, serverId: string): void {
    if (message.type === 'console_ack') outbox.acknowledge(message.seq);
    else if (message.type === 'error') throw new Error(`The panel refused a message: ${message.message}`);
    else if (message.type === 'node_handshake_response') {
      const startSeq = message.console?.find((console) => console.serverId === serverId)?.seq ?? 0;
      const send = (output: object) => socket?.send(JSON.stringify({ ...output, serverId }));
      outbox = createOutbox({ startSeq, windowBytes: CONSOLE_WINDOW_BYTES, send });
      deliveredSeq = startSeq;
    }
  }

  return {
    /** Settles when the panel has agreed. */
    async connect(address: AgentAddress): Promise<void> {
      socket = await openSocket(address, handle);
    },
    /** Writes console lines, and settles when the panel has acknowledged the last of them. */
    async write(load: Load): Promise<LoadResult> {
      const firstSeq = outbox.lastSeq() + 1;
      const startedAt = monotonicMs();
      isStopped = false;
      await playGame({ load, outbox, deliveredSeq: () => deliveredSeq, isStopped: () => isStopped });
      await outbox.drain(ACKNOWLEDGEMENT_TIMEOUT_MS);
      const elapsedMs = monotonicMs() - startedAt;
      return { firstSeq, lastSeq: outbox.lastSeq(), elapsedMs, ...outbox.takeCounts() };
    },
    /** Every subscriber has the lines up to here. */
    delivered(seq: number): void {
      deliveredSeq = seq;
    },
    stopWriting(): void {
      isStopped = true;
    },
  };
}

/** Dials, shakes hands, and from then on hands every message to `handle`. */
function openSocket(
  { url, nodeId, token, serverId, serverUuid }: AgentAddress,
  handle: (message: PanelMessage, serverId: string) => void,
): Promise<WebSocket> {
  const socket = new WebSocket(`${url}?nodeId=${nodeId}&token=${token}`, { perMessageDeflate: false });
  const say = (message: object) => socket.send(JSON.stringify(message));
  return new Promise((resolve, reject) => {
    socket.on('error', reject);
    socket.on('close', (code) => reject(new Error(`The agent's connection was closed with ${code}.`)));
    socket.on('message', (data) => {
      const message: PanelMessage = JSON.parse(String(data));
      handle(message, serverId);
      if (message.type !== 'node_handshake_response') return;
      say({ type: 'inventory', servers: [{ serverId, serverUuid, state: 'running' }] });
      const heartbeat = setInterval(() => say({ type: 'heartbeat' }), HEARTBEAT_INTERVAL_MS);
      socket.on('close', () => clearInterval(heartbeat));
      resolve(socket);
    });
    socket.on('open', () => {
      const capabilities = [Capability.consoleSequence, Capability.inventory];
      const handshake = { type: 'node_handshake', nodeId, token, protocolVersion: PROTOCOL_VERSION };
      say({ ...handshake, capabilities, agentVersion: 'bench', runtime: 'process' });
    });
  });
}
