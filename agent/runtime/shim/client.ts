import { closeSync, openSync } from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { join } from 'node:path';
import { z } from 'zod';
import type { OutputListener, ServerExit } from '../runtime.js';
import { createFrameReader, decodeOutput, encodeJsonFrame, Frame } from './protocol.js';

/** The agent's end of a shim's socket. */
export interface ShimClient {
  /** Settles with the game's exit; null when the shim went away without telling it. */
  readonly exited: Promise<ServerExit | null>;
  write(data: string): Promise<void>;
  signal(signal: NodeJS.Signals): void;
  /** Tell the shim that it may end, and wait until it has, or for 2 s. */
  release(): Promise<void>;
  pause(): void;
  resume(): void;
  disconnect(): void;
}

export interface ShimConnection {
  directory: string;
  /** Where output goes on. */
  fromOffset: number;
  /** Makes an offset a cursor. */
  cursorOf(offset: number): string;
  listener: OutputListener;
}

const WRITE_TIMEOUT_MS = 5000;
const RELEASE_TIMEOUT_MS = 2000;
/** What `sockaddr_un` holds, less the final zero. */
const SOCKET_PATH_MAX_BYTES = 107;

const Lost = z.object({ bytes: z.number() });
const Exit = z.object({ exitCode: z.number().int(), oomKilled: z.boolean(), finishedAt: z.iso.datetime() });
const Written = z.object({ id: z.number().int(), error: z.string().nullable() });

/** Connect to the shim whose directory this is. Rejects when nobody listens. */
export async function connectShim(connection: ShimConnection): Promise<ShimClient> {
  const socket = await connectSocket(connection.directory);
  const writes = new Map<number, (error: string | null) => void>();
  let lastWriteId = 0;
  let isDisconnected = false;

  const closed = new Promise<null>((resolve) => {
    socket.once('close', () => {
      for (const settle of writes.values()) settle('it has ended');
      // Never after `disconnect`: the game runs on, and somebody else will learn how it ends.
      if (!isDisconnected) resolve(null);
    });
  });
  const exitReceived = new Promise<ServerExit>((resolve) => {
    const readFrames = createFrameReader((type, payload) => receive(type, payload, resolve));
    socket.on('data', (chunk: Buffer) => {
      try {
        readFrames(chunk);
      } catch (error) {
        socket.destroy(error instanceof Error ? error : new Error(String(error)));
      }
    });
  });

  function receive(type: number, payload: Buffer, onExit: (exit: ServerExit) => void) {
    if (isDisconnected) return;
    if (type === Frame.output) {
      const piece = decodeOutput(payload);
      const cursor = connection.cursorOf(piece.endOffset);
      const readAt = new Date(piece.readAtMs);
      connection.listener.onOutput({ stream: piece.stream, data: piece.data, readAt, cursor });
      return;
    }
    const message: unknown = JSON.parse(payload.toString());
    if (type === Frame.lost) connection.listener.onOutputLost(Lost.parse(message).bytes);
    if (type === Frame.written) {
      const { id, error } = Written.parse(message);
      writes.get(id)?.(error);
    }
    if (type === Frame.exit) {
      const { finishedAt, ...exit } = Exit.parse(message);
      onExit({ ...exit, finishedAt: new Date(finishedAt) });
    }
  }

  socket.write(encodeJsonFrame(Frame.attach, { from: connection.fromOffset }));
  return {
    exited: Promise.race([exitReceived, closed]),
    write(data) {
      const id = ++lastWriteId;
      return new Promise((resolve, reject) => {
        const settle = (error: string | null) => {
          clearTimeout(timer);
          writes.delete(id);
          if (error === null) resolve();
          else reject(new Error(`The server took no input: ${error}.`));
        };
        const timer = setTimeout(() => settle('it does not read it'), WRITE_TIMEOUT_MS);
        writes.set(id, settle);
        if (socket.destroyed) settle('it has ended');
        else socket.write(encodeJsonFrame(Frame.write, { id, data }));
      });
    },
    signal(signal) {
      if (!socket.destroyed) socket.write(encodeJsonFrame(Frame.signal, { signal }));
    },
    async release() {
      if (socket.destroyed) return;
      socket.write(encodeJsonFrame(Frame.release, {}));
      let timer: NodeJS.Timeout | undefined;
      const waited = new Promise((resolve) => {
        timer = setTimeout(resolve, RELEASE_TIMEOUT_MS);
      });
      await Promise.race([closed, waited]);
      clearTimeout(timer);
      socket.destroy();
    },
    pause: () => socket.pause(),
    resume: () => socket.resume(),
    disconnect() {
      isDisconnected = true;
      socket.destroy();
    },
  };
}

async function connectSocket(directory: string): Promise<Socket> {
  const path = join(directory, 'socket');
  // A path that does not fit is reached through an open descriptor of its directory, which only Linux has.
  const descriptor = Buffer.byteLength(path) > SOCKET_PATH_MAX_BYTES ? openSync(directory, 'r') : null;
  try {
    const socket = createConnection(descriptor === null ? path : `/proc/self/fd/${descriptor}/socket`);
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve);
      socket.once('error', reject);
    });
    // From here on an error is followed by `close`, which is what counts.
    socket.on('error', () => {});
    return socket;
  } finally {
    if (descriptor !== null) closeSync(descriptor);
  }
}
