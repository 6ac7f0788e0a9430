import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { Message } from './documented-agent.js';

const WAIT_MS = 10_000;

/** A console line, or numbers that were announced as missing. */
export type Entry =
  | { kind: 'line'; seq: number; stream: string; text: string }
  | { kind: 'gap'; from: number; to: number; reason: string };

export type Client = Awaited<ReturnType<typeof connectClient>>;

/** A client of the panel's WebSocket that remembers everything and waits for conditions. */
export async function connectClient(options: {
  port: number;
  token?: string;
  /** Sent right after `open`, without waiting for anything. */
  first?: Message[];
}) {
  const { port, token, first = [] } = options;
  const query = token === undefined ? '' : `?${new URLSearchParams({ token })}`;
  const socket = new WebSocket(`ws://127.0.0.1:${port}/ws${query}`, { perMessageDeflate: false });
  const received: Message[] = [];
  const entries: Entry[] = [];
  const watchers = new Set<() => void>();
  let closed: { code: number; reason: string } | null = null;

  function notify(): void {
    for (const watcher of watchers) watcher();
  }
  socket.on('message', (data) => {
    const message: Message = JSON.parse(String(data));
    received.push(message);
    entries.push(...entriesOf(message));
    notify();
  });
  socket.on('close', (code, reason) => {
    closed = { code, reason: String(reason) };
    notify();
  });
  await once(socket, 'open');
  socket.on('error', () => {});
  for (const message of first) socket.send(JSON.stringify(message));

  /** Waits until `look` finds something, looking again after each message. */
  function until<Found>(what: string, look: () => Found | null | undefined | false): Promise<Found> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        watchers.delete(watch);
        const types = received.slice(-20).map(({ type }) => type);
        reject(new Error(`waited for ${what}; closed: ${JSON.stringify(closed)}; last: ${types.join(', ')}`));
      }, WAIT_MS);
      function watch(): void {
        const found = look();
        if (!found) return;
        clearTimeout(timer);
        watchers.delete(watch);
        resolve(found);
      }
      watchers.add(watch);
      watch();
    });
  }

  /** The first message of a type (that fits), which is then gone. */
  function next(type: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
    return until(type, () => {
      const index = received.findIndex((message) => message.type === type && fits(message));
      return index !== -1 && received.splice(index, 1)[0];
    });
  }

  const send = (message: Message) => socket.send(JSON.stringify(message));
  return {
    socket,
    received,
    /** The console as it came, in order. */
    entries,
    send,
    sendRaw: (data: string | Buffer) => socket.send(data),
    until,
    next,
    async subscribe(serverId: string, fields: Record<string, unknown> = {}): Promise<Message> {
      send({ type: 'subscribe', serverId, ...fields });
      return next('subscribed', (message) => message.serverId === serverId);
    },
    /** Waits for line `seq`, or for a gap that holds it. */
    untilSeq: (seq: number) => until(`line ${seq}`, () => lastSeq(entries) >= seq),
    closed: () => until('the end of the connection', () => closed),
    isClosed: () => closed !== null,
    async close(): Promise<void> {
      socket.close();
      await until('the end of the connection', () => closed);
    },
  };
}

function entriesOf(message: Message): Entry[] {
  if (message.type === 'log_gap') {
    return [{ kind: 'gap', from: message.from, to: message.to, reason: message.reason }];
  }
  if (message.type !== 'server_log') return [];
  const texts: string[] = message.data.split('\n').slice(0, -1);
  return texts.map((text, index) => ({
    kind: 'line',
    seq: message.firstSeq + index,
    stream: message.stream,
    text,
  }));
}

/** The number of the last line that came or was announced as missing. */
function lastSeq(entries: readonly Entry[]): number {
  const last = entries.at(-1);
  if (!last) return 0;
  return last.kind === 'line' ? last.seq : last.to;
}

/** Where the console as it came jumps, repeats or goes back: empty when each number is there once, in order. */
export function brokenPlaces(entries: readonly Entry[], from: number): string[] {
  const broken: string[] = [];
  let nextSeq = from;
  for (const entry of entries) {
    const first = entry.kind === 'line' ? entry.seq : entry.from;
    if (first !== nextSeq) broken.push(`expected ${nextSeq}, got ${first}`);
    nextSeq = (entry.kind === 'line' ? entry.seq : entry.to) + 1;
  }
  return broken;
}

export function linesOf(entries: readonly Entry[]): string[] {
  return entries.flatMap((entry) => (entry.kind === 'line' ? [entry.text] : []));
}
