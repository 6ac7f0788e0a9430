import WebSocket from 'ws';
import type { PanelToClientMessage, ResourceStatsMessage } from '../../src/protocol/client-messages.js';
import { DemoFailure } from './failure.js';

const SUBSCRIBE_TIMEOUT_MS = 10_000;

export interface LiveListener {
  onLine(line: string): void;
  onProgress(phase: string, percent: number | null, message: string | undefined): void;
}

/** One server's live events. */
export interface Live {
  /** Settles at the first message from now on that `pick` makes something of. */
  next<Result>(
    what: string,
    timeoutMs: number,
    pick: (message: PanelToClientMessage) => Result | undefined,
  ): Promise<Result>;
  close(): void;
}

interface Waiter {
  see(message: PanelToClientMessage): void;
  fail(error: Error): void;
}

/** Signs in over the WebSocket and subscribes to everything about the server. */
export async function openLive(options: {
  url: string;
  token: string;
  serverId: string;
  listener: LiveListener;
}): Promise<Live> {
  const { url, token, serverId, listener } = options;
  const socket = new WebSocket(`${url.replace(/^http/, 'ws')}/ws`);
  const waiters = new Set<Waiter>();
  let endedBecause: DemoFailure | undefined;

  function end(reason: string): void {
    endedBecause ??= new DemoFailure(reason);
    for (const waiter of waiters) waiter.fail(endedBecause);
    socket.close();
  }

  socket.on('open', () => {
    socket.send(JSON.stringify({ type: 'authenticate', token }));
    socket.send(JSON.stringify({ type: 'subscribe', serverId }));
  });
  socket.on('message', (data) => {
    const message: PanelToClientMessage = JSON.parse(String(data));
    tell(message, listener);
    for (const waiter of waiters) waiter.see(message);
    if (message.type === 'error') end(`The panel said over the WebSocket: ${message.message}`);
  });
  socket.on('error', (error) => end(`The WebSocket failed: ${error.message}`));
  socket.on('close', (code) => end(`The panel closed the WebSocket with ${code}.`));

  const live: Live = {
    next: (what, timeoutMs, pick) =>
      new Promise((resolve, reject) => {
        const settle = (finish: () => void) => {
          clearTimeout(timer);
          waiters.delete(waiter);
          finish();
        };
        const waiter: Waiter = {
          see(message) {
            const result = pick(message);
            if (result !== undefined) settle(() => resolve(result));
          },
          fail: (error) => settle(() => reject(error)),
        };
        const late = new DemoFailure(`Waited ${timeoutMs / 1000} s in vain for ${what}.`);
        const timer = setTimeout(() => waiter.fail(late), timeoutMs);
        waiters.add(waiter);
        if (endedBecause) waiter.fail(endedBecause);
      }),
    close: () => end('The demo is over.'),
  };
  await live.next('the subscription', SUBSCRIBE_TIMEOUT_MS, (message) =>
    message.type === 'subscribed' ? true : undefined,
  );
  return live;
}

function tell(message: PanelToClientMessage, listener: LiveListener): void {
  if (message.type === 'server_log') {
    for (const line of message.data.trimEnd().split('\n')) listener.onLine(line.trimEnd());
  } else if (message.type === 'log_gap') {
    listener.onLine(`(lines ${message.from}–${message.to} were left out: ${message.reason})`);
  } else if (message.type === 'install_progress') {
    listener.onProgress(message.phase, message.percent, message.message);
  }
}

export function asStats(message: PanelToClientMessage): ResourceStatsMessage | undefined {
  return message.type === 'resource_stats' ? message : undefined;
}
