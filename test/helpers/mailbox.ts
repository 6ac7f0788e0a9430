import type { WebSocket } from 'ws';

const WAIT_MS = 10_000;
const TYPES_SHOWN = 20;

/** A message as it stands in the documentation: whatever JSON object with a type. */
// biome-ignore lint/suspicious/noExplicitAny: tests look into messages of every shape.
export type Message = { type: string } & Record<string, any>;

/** What comes over a socket, remembered, and ways to wait for it. */
export function openMailbox(socket: WebSocket, onMessage: (message: Message) => void = () => {}) {
  const received: Message[] = [];
  const watchers = new Set<() => void>();
  let closed: { code: number; reason: string } | null = null;

  function notify(): void {
    for (const watcher of watchers) watcher();
  }
  socket.on('message', (data) => {
    const message: Message = JSON.parse(String(data));
    received.push(message);
    onMessage(message);
    notify();
  });
  socket.on('close', (code, reason) => {
    closed = { code, reason: String(reason) };
    notify();
  });

  /** Waits until `look` finds something, looking again after each message. */
  function until<Found>(what: string, look: () => Found | null | undefined | false): Promise<Found> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        watchers.delete(watch);
        const types = received.slice(-TYPES_SHOWN).map(({ type }) => type);
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

  return {
    received,
    send: (message: Message) => socket.send(JSON.stringify(message)),
    sendRaw: (data: string | Buffer) => socket.send(data),
    until,
    /** The first message of a type (that fits), which is then gone. */
    next(type: string, fits: (message: Message) => boolean = () => true): Promise<Message> {
      return until(type, () => {
        const index = received.findIndex((message) => message.type === type && fits(message));
        return index !== -1 && received.splice(index, 1)[0];
      });
    },
    isClosed: () => closed !== null,
    closed: () => until('the end of the connection', () => closed),
  };
}
