import type { Socket } from 'node:net';
import type { SFTPWrapper } from 'ssh2';

/** What requests of one channel that are not answered yet may hold; then its client has to wait. */
const PENDING_MAX_BYTES = 4 * 1024 * 1024;
/** Any request holds some memory, however short it is. */
const REQUEST_BYTES = 512;
/** Bytes that were read for a client and that it has not taken. */
const OUTGOING_MAX_BYTES = 1024 * 1024;
/** With all other answers; until it has taken some of them, what it asks for is not even looked at. */
const UNTAKEN_MAX_BYTES = 8 * OUTGOING_MAX_BYTES;
/** Bytes that are fetched before a client asks for them, of all files of one channel. */
const AHEAD_MAX_BYTES = 8 * 1024 * 1024;
/** As in ssh2: a channel's window, and where it is opened again. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const WINDOW_LOW_BYTES = WINDOW_BYTES / 2;

/**
 * Of ssh2's channel, what it does not show. Left alone it opens the window again whatever waits, and keeps without
 * limit what the client does not take.
 */
interface Channel {
  push(data: Buffer | null): unknown;
  incoming: { window: number };
  outgoing: { id: number; state: string };
  _buffer: Buffer[];
  _waitChanDrain: boolean;
  /** `_kexinit` is there while keys are exchanged: what is sent then waits where nobody counts it. */
  _protocol: { _kexinit?: unknown; channelWindowAdjust(channelId: number, bytes: number): void };
}

export interface Flow {
  /** A request has come in, with so many bytes of a file. */
  begin(dataBytes: number): void;
  /** It has been answered. */
  finish(dataBytes: number): void;
  /** Whether the client takes what is read for it. */
  hasRoom(): boolean;
  /** Resolves when there is room, or the signal is aborted. */
  room(signal: AbortSignal): Promise<void>;
  reading(bytes: number): void;
  hasRead(bytes: number): void;
  /** False when it is too much to be fetched ahead now. */
  takeAhead(bytes: number): boolean;
  giveAhead(bytes: number): void;
  /** How often something was changed through this channel: what was read before may be different now. */
  changes(): number;
  /** Without what was written to files that come to their names when they are closed. */
  shownChanges(): number;
  /** @param isShown Whether something is different under some name now. */
  hasChanged(isShown?: boolean): void;
}

/**
 * Bounds what one channel holds of the panel's memory, by SSH's own flow control.
 * @param onRoom Called when there may be room again.
 * @param onBreach Called when the client sends more than it was allowed, or what nobody can read.
 */
export function controlFlow({
  sftp,
  socket,
  onRoom,
  onBreach,
}: {
  sftp: SFTPWrapper;
  socket: Socket;
  onRoom: () => void;
  onBreach: (reason: string) => void;
}): Flow {
  const channel = sftp as unknown as Channel;
  const push = channel.push.bind(channel);
  let pendingBytes = 0;
  let readingBytes = 0;
  let aheadBytes = 0;
  let changes = 0;
  let shownChanges = 0;
  let isHeld = false;
  /** What came and was not looked at yet: never more than the window. */
  let unread: Buffer[] = [];
  const waiting: (() => void)[] = [];

  channel.push = (data) => {
    if (data === null) return push(null);
    if (channel.incoming.window < 0) onBreach('It sent more than it was allowed.');
    unread.push(data);
    read();
    isHeld = unread.length > 0 || isFull();
    return !isHeld;
  };

  function isFull(): boolean {
    return pendingBytes > PENDING_MAX_BYTES || untakenBytes() > UNTAKEN_MAX_BYTES;
  }

  /** What came is looked at piece by piece, as far as there is room for what comes of it. */
  function read(): void {
    for (let first = unread[0]; first && !isFull(); first = unread[0]) {
      unread.shift();
      // After its end, or what nobody can read, nothing makes sense.
      if (channel.outgoing.state === 'open') push(first);
    }
  }

  function readOn(): void {
    if (!isHeld) return;
    try {
      read();
    } catch {
      unread = [];
      onBreach('It sent what nobody can read.');
    }
    if (unread.length === 0 && !isFull()) openWindow();
  }

  function openWindow(): void {
    isHeld = false;
    channel._waitChanDrain = false;
    const bytes = WINDOW_BYTES - channel.incoming.window;
    if (channel.outgoing.state !== 'open' || channel.incoming.window > WINDOW_LOW_BYTES) return;
    channel.incoming.window += bytes;
    channel._protocol.channelWindowAdjust(channel.outgoing.id, bytes);
  }

  function hasRoom(): boolean {
    return channel._protocol._kexinit === undefined && readingBytes + untakenBytes() < OUTGOING_MAX_BYTES;
  }

  function untakenBytes(): number {
    return channel._buffer.reduce((sum, { length }) => sum + length, socket.writableLength);
  }

  function goOn(): void {
    onRoom();
    readOn();
    for (let first = waiting[0]; first && hasRoom(); first = waiting[0]) {
      waiting.shift();
      first();
    }
  }

  // The client took something, or said that it will: it says so in band.
  socket.on('drain', goOn);
  socket.on('data', goOn);
  sftp.on('close', () => {
    socket.off('drain', goOn);
    socket.off('data', goOn);
  });

  return {
    begin(dataBytes) {
      pendingBytes += REQUEST_BYTES + dataBytes;
    },
    finish(dataBytes) {
      pendingBytes -= REQUEST_BYTES + dataBytes;
      readOn();
    },
    hasRoom,
    async room(signal) {
      if (hasRoom() || signal.aborted) return;
      await new Promise<void>((resolve) => {
        waiting.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
    },
    reading(bytes) {
      readingBytes += bytes;
    },
    hasRead(bytes) {
      readingBytes -= bytes;
      goOn();
    },
    takeAhead(bytes) {
      if (aheadBytes + bytes > AHEAD_MAX_BYTES) return false;
      aheadBytes += bytes;
      return true;
    },
    giveAhead(bytes) {
      aheadBytes -= bytes;
    },
    changes: () => changes,
    shownChanges: () => shownChanges,
    hasChanged(isShown = true) {
      changes += 1;
      if (isShown) shownChanges += 1;
    },
  };
}
