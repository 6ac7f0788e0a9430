import { once } from 'node:events';
import { WebSocket } from 'ws';
import { until } from './processes.js';

interface Line {
  seq: number;
  stream: string;
  text: string;
}

/** A console watcher that comes back after the panel was away and asks for what it missed. */
export interface Watcher {
  lines(): Line[];
  states(): string[];
  stats(): { cpu: number; memoryMb: number }[];
  gaps(): { from: number; to: number; reason: string }[];
  send(message: unknown): void;
  until(what: string, condition: () => boolean, timeoutMs?: number): Promise<void>;
  untilLine(pattern: RegExp, timeoutMs?: number): Promise<Line>;
  /** After the panel was started again: connect and subscribe with `since`. */
  reconnect(): Promise<void>;
  close(): void;
}

export async function watch(panelUrl: string, token: string, serverId: string): Promise<Watcher> {
  const lines: Line[] = [];
  const states: string[] = [];
  const stats: { cpu: number; memoryMb: number }[] = [];
  const gaps: { from: number; to: number; reason: string }[] = [];
  let socket: WebSocket | undefined;

  function receive(text: string): void {
    const message = JSON.parse(text);
    if (message.type === 'server_log') {
      const texts: string[] = message.data.split('\n').slice(0, -1);
      lines.push(
        ...texts.map((line, index) => ({
          seq: message.firstSeq + index,
          stream: message.stream,
          text: line,
        })),
      );
    } else if (message.type === 'server_state_update') states.push(message.state);
    else if (message.type === 'resource_stats') stats.push(message);
    else if (message.type === 'log_gap') gaps.push(message);
  }

  async function connect(): Promise<void> {
    const next = new WebSocket(`${panelUrl.replace(/^http/, 'ws')}/ws?token=${token}`);
    const subscribed = new Promise<void>((resolve, reject) => {
      next.on('error', reject);
      next.on('message', (data) => {
        receive(data.toString());
        if (data.toString().includes('"type":"subscribed"')) resolve();
      });
    });
    await once(next, 'open');
    const since = lines.at(-1)?.seq;
    next.send(JSON.stringify({ type: 'subscribe', serverId, ...(since !== undefined && { since }) }));
    await subscribed;
    socket = next;
  }

  await connect();
  const watcher: Watcher = {
    lines: () => lines,
    states: () => states,
    stats: () => stats,
    gaps: () => gaps,
    send: (message) => socket?.send(JSON.stringify(message)),
    until: (what, condition, timeoutMs) =>
      until(what, condition, timeoutMs).catch((error) => {
        throw new Error(`${error.message}\nnow: ${states.join(' ')}\n${tail(lines)}`);
      }),
    async untilLine(pattern, timeoutMs) {
      const found = () => lines.find((line) => pattern.test(line.text));
      await watcher.until(`a line matches ${pattern}`, () => found() !== undefined, timeoutMs);
      const line = found();
      if (!line) throw new Error('The line is gone.');
      return line;
    },
    async reconnect() {
      socket?.terminate();
      await connect();
    },
    close: () => socket?.terminate(),
  };
  return watcher;
}

function tail(lines: Line[]): string {
  return lines
    .slice(-15)
    .map((line) => `${line.seq} ${line.stream} ${line.text}`)
    .join('\n');
}
