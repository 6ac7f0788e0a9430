import type { Socket } from 'node:net';
import type { WebSocket } from 'ws';
import type { PanelToClientMessage } from '../protocol/client-messages.js';

/** A client counts as drained when no more than this waits for it. */
const DRAINED_BYTES = 64 * 1024;
/** A client that lets more answers than this wait is cut off. */
const ANSWERS_MAX_BYTES = 8 * 1024 * 1024;
/** Nothing has left for so long: the client has stalled. */
const STALLED_MS = 60_000;

/** What the panel has to say to one client, bounded in bytes. */
export interface Outlet {
  isOpen(): boolean;
  /** For answers and what must be told: bounded by the rate of the client's own messages. */
  send(message: PanelToClientMessage): void;
  /** One or more complete frames in one write. False when too much waits already, and then nothing was sent. */
  sendFrames(frames: Buffer): boolean;
  /** For what must arrive, if late: while there is no room, the newest frame of each key is kept. */
  sendNewest(key: string, frame: Buffer): void;
  /** Resolves when there is room again, or the client has gone. */
  drained(): Promise<void>;
  /** To be asked every second or so: whether the client has taken nothing for a minute although there was something. */
  hasStalled(nowMs: number): boolean;
}

/**
 * @param socket What the WebSocket runs on: frames that many clients get are written to it as they are.
 * @param maxBytes How much may wait for the client at the moment.
 */
export function createOutlet({
  webSocket,
  socket,
  maxBytes,
}: {
  webSocket: WebSocket;
  socket: Socket;
  maxBytes(): number;
}): Outlet {
  const newest = new Map<string, Buffer>();
  let waiters: (() => void)[] = [];
  let waitingBytes = 0;
  let progressAtMs = Date.now();
  const isOpen = () => webSocket.readyState === webSocket.OPEN;

  function onDrain(): void {
    progressAtMs = Date.now();
    for (const frame of newest.values()) if (isOpen()) socket.write(frame);
    newest.clear();
    const resolved = waiters;
    waiters = [];
    for (const resolve of resolved) resolve();
  }
  socket.on('drain', onDrain);
  socket.once('close', onDrain);

  return {
    isOpen,
    send(message) {
      if (!isOpen()) return;
      if (webSocket.bufferedAmount > ANSWERS_MAX_BYTES) webSocket.terminate();
      else webSocket.send(JSON.stringify(message));
    },
    sendFrames(frames) {
      if (!isOpen()) return true;
      if (webSocket.bufferedAmount > maxBytes()) return false;
      socket.write(frames);
      return true;
    },
    sendNewest(key, frame) {
      if (!isOpen()) return;
      if (newest.size > 0 || webSocket.bufferedAmount > maxBytes()) newest.set(key, frame);
      else socket.write(frame);
    },
    drained() {
      if (!isOpen() || webSocket.bufferedAmount <= DRAINED_BYTES) return Promise.resolve();
      return new Promise((resolve) => waiters.push(resolve));
    },
    hasStalled(nowMs) {
      const bytes = webSocket.bufferedAmount;
      if (bytes < waitingBytes || bytes === 0) progressAtMs = nowMs;
      waitingBytes = bytes;
      return nowMs - progressAtMs >= STALLED_MS;
    },
  };
}
