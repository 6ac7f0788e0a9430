import { Socket } from 'node:net';
import type Docker from 'dockerode';
import { callEngine } from './call.js';

export interface ServerInput {
  /** Connect before the container starts, so that its first read finds an open input. */
  open(): Promise<void>;
  /** Rejects when the engine takes nothing for 5 s, and after `close`. */
  write(data: string): Promise<void>;
  /** For good: the server has ended, or was let go of. */
  close(): void;
}

const WRITE_TIMEOUT_MS = 5000;
/** What may wait for a game that does not read its input. */
const PENDING_MAX_BYTES = 64 * 1024;

/**
 * A container's standard input over the engine's attach connection. A lost connection is made again by the next
 * write; the container's side of it stays open meanwhile (`StdinOnce` is off).
 */
export function createInput(container: Docker.Container): ServerInput {
  let connection: Promise<Socket> | null = null;
  let isClosed = false;

  return {
    async open() {
      await connect();
    },
    async write(data) {
      if (isClosed) throw new Error('the server has ended');
      const socket = await connect();
      if (socket.writableLength > PENDING_MAX_BYTES) throw new Error('the server does not read its input');
      await send(socket, data);
    },
    close() {
      isClosed = true;
      connection?.then((socket) => socket.destroy()).catch(() => undefined);
      connection = null;
    },
  };

  function connect(): Promise<Socket> {
    connection ??= attach(container).then(
      (socket) => {
        socket.once('close', () => {
          connection = null;
        });
        return socket;
      },
      (error) => {
        connection = null;
        throw error;
      },
    );
    return connection;
  }
}

async function attach(container: Docker.Container): Promise<Socket> {
  const stream = await callEngine(container, () =>
    container.attach({ hijack: true, stream: true, stdin: true }),
  );
  if (!(stream instanceof Socket)) throw new Error('the engine did not hand over the connection');
  // An error is followed by 'close', and that is what matters; nothing is ever sent to us on this connection.
  stream.on('error', () => undefined);
  stream.resume();
  return stream;
}

function send(socket: Socket, data: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (message: string) => {
      // What was not taken must not arrive later, when nobody expects it any more.
      socket.destroy();
      reject(new Error(message));
    };
    const timer = setTimeout(() => fail('the server did not take its input for 5 s'), WRITE_TIMEOUT_MS);
    socket.write(data, (error) => {
      clearTimeout(timer);
      if (error) fail('the connection to the server’s input broke');
      else resolve();
    });
  });
}
