import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { type WebSocket, WebSocketServer } from 'ws';
import {
  AgentMessage,
  type AgentMessageOf,
  Capability,
  type PanelMessage,
  type PanelMessageOf,
} from '../../src/protocol/agent-messages.js';

type Welcome = PanelMessageOf<'node_handshake_response'>;

/**
 * The other side of the wire, as small as it can be: it takes agents, checks every message against the
 * contract, remembers the messages, and keeps console lines as the panel does, by number.
 */
export interface FakePanel {
  readonly url: string;
  readonly port: number;
  /** Everything that agents have said, in order. */
  readonly messages: AgentMessage[];
  /** Console lines by server and number, each number once. */
  readonly lines: Map<string, Map<number, string>>;
  readonly duplicates: string[];
  readonly tokens: string[];
  connections(): number;
  send(message: PanelMessage): void;
  sendRaw(text: string): void;
  /** The first message of the type that fits, now or later; `from` skips what came before. */
  waitFor<Type extends AgentMessage['type']>(
    type: Type,
    fits?: (message: AgentMessageOf<Type>) => boolean,
    options?: { from?: number; timeoutMs?: number },
  ): Promise<AgentMessageOf<Type>>;
  until(what: string, isTrue: () => boolean, timeoutMs?: number): Promise<void>;
  /** Read nothing more from the connections there are. */
  pause(): void;
  disconnectAgents(code?: number): void;
  close(): Promise<void>;
  settings: FakePanelSettings;
}

export interface FakePanelSettings {
  welcome: Partial<Welcome>;
  /** Whether console lines are acknowledged; changes take effect at once. */
  acknowledges: boolean;
  /** Tokens that are refused with 4401. */
  refusedTokens: string[];
  /** Announce nothing beyond the documented messages. */
  documentedOnly: boolean;
}

const WAIT_TIMEOUT_MS = 15_000;

export async function startFakePanel(
  changes: Partial<FakePanelSettings> = {},
  earlier?: Pick<FakePanel, 'port' | 'lines'>,
): Promise<FakePanel> {
  const settings: FakePanelSettings = {
    welcome: {},
    acknowledges: true,
    refusedTokens: [],
    documentedOnly: false,
    ...changes,
  };
  const server = new WebSocketServer({ port: earlier?.port ?? 0, host: '127.0.0.1', path: '/ws' });
  await once(server, 'listening');
  const messages: AgentMessage[] = [];
  const lines = earlier?.lines ?? new Map<string, Map<number, string>>();
  const duplicates: string[] = [];
  const tokens: string[] = [];
  let agent: WebSocket | null = null;
  const watchers = new Set<() => void>();

  function send(message: PanelMessage) {
    agent?.send(JSON.stringify(message));
  }

  function store(message: AgentMessageOf<'console_output'>) {
    const stored = lines.get(message.serverId) ?? new Map<number, string>();
    lines.set(message.serverId, stored);
    const texts = message.data.split('\n').slice(0, -1);
    texts.forEach((text, index) => {
      const seq = (message.firstSeq ?? 0) + index;
      if (stored.has(seq)) duplicates.push(`${seq} ${text}`);
      else stored.set(seq, text);
    });
    if (settings.acknowledges) {
      send({ type: 'console_ack', serverId: message.serverId, seq: message.seq ?? 0 });
    }
  }

  server.on('connection', (socket, request) => {
    const token = new URL(request.url ?? '', 'http://panel').searchParams.get('token') ?? '';
    tokens.push(token);
    if (settings.refusedTokens.includes(token)) return socket.close(4401, 'unknown token');
    agent = socket;
    socket.on('message', (data) => {
      const message = AgentMessage.parse(JSON.parse(String(data)));
      messages.push(message);
      if (message.type === 'node_handshake') {
        const welcome: Welcome = {
          type: 'node_handshake_response',
          nodeId: message.nodeId,
          ...(!settings.documentedOnly && {
            capabilities: Object.values(Capability),
            console: [...lines].map(([serverId, stored]) => ({
              serverId,
              seq: Math.max(0, ...stored.keys()),
            })),
          }),
          ...settings.welcome,
        };
        socket.send(JSON.stringify(welcome));
      }
      if (message.type === 'console_output') store(message);
      if (message.type === 'console_gap' && settings.acknowledges) {
        send({ type: 'console_ack', serverId: message.serverId, seq: message.to });
      }
      for (const watcher of [...watchers]) watcher();
    });
    socket.on('close', () => {
      if (agent === socket) agent = null;
      for (const watcher of [...watchers]) watcher();
    });
  });

  async function until(what: string, isTrue: () => boolean, timeoutMs = WAIT_TIMEOUT_MS): Promise<void> {
    if (isTrue()) return;
    await new Promise<void>((resolve, reject) => {
      const finish = (settle: () => void) => {
        clearTimeout(timer);
        watchers.delete(look);
        settle();
      };
      const look = () => {
        if (isTrue()) finish(resolve);
      };
      const timer = setTimeout(() => {
        const last = messages.slice(-8).map((message) => JSON.stringify(message).slice(0, 300));
        finish(() =>
          reject(new Error(`Waited in vain until ${what}. The last messages:\n${last.join('\n')}`)),
        );
      }, timeoutMs);
      watchers.add(look);
    });
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    port: (server.address() as AddressInfo).port,
    messages,
    lines,
    duplicates,
    tokens,
    settings,
    connections: () => server.clients.size,
    send,
    sendRaw: (text) => agent?.send(text),
    until,
    async waitFor(type, fits = () => true, { from = 0, timeoutMs = WAIT_TIMEOUT_MS } = {}) {
      type Wanted = AgentMessageOf<typeof type>;
      const find = () =>
        messages.slice(from).find((message) => message.type === type && fits(message as Wanted)) as
          | Wanted
          | undefined;
      await until(`the agent sent ${type}`, () => find() !== undefined, timeoutMs);
      const found = find();
      if (found === undefined) throw new Error('It was there a moment ago.');
      return found;
    },
    pause() {
      for (const socket of server.clients) socket.pause();
    },
    disconnectAgents(code) {
      for (const socket of server.clients) {
        if (code === undefined) socket.terminate();
        else socket.close(code);
      }
    },
    async close() {
      for (const socket of server.clients) socket.terminate();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
