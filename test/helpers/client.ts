import { once } from 'node:events';
import { WebSocket } from 'ws';
import { type Message, openMailbox } from './mailbox.js';

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
  const entries: Entry[] = [];
  const mailbox = openMailbox(socket, (message) => entries.push(...entriesOf(message)));
  await once(socket, 'open');
  socket.on('error', () => {});
  for (const message of first) mailbox.send(message);

  return {
    ...mailbox,
    socket,
    /** The console as it came, in order. */
    entries,
    async subscribe(serverId: string, fields: Record<string, unknown> = {}): Promise<Message> {
      mailbox.send({ type: 'subscribe', serverId, ...fields });
      return mailbox.next('subscribed', (message) => message.serverId === serverId);
    },
    /** Waits for line `seq`, or for a gap that holds it. */
    untilSeq: (seq: number) => mailbox.until(`line ${seq}`, () => lastSeq(entries) >= seq),
    async close(): Promise<void> {
      socket.close();
      await mailbox.closed();
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
