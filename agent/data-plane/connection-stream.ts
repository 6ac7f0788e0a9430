import { Duplex } from 'node:stream';
import type { RawData, WebSocket } from 'ws';
import { DATA_BUFFER_BYTES } from '../../src/protocol/data-plane.js';

/**
 * The bytes of a data connection, for HTTP/2. Unlike the stream that ws makes:
 * - What HTTP/2 writes in one go (the head of a frame, its bytes, the next frame) goes to the system in one go. Each is a
 *   message of its own: joining them would copy them, and a call of the system for each costs more than the bytes.
 * - It never ends, it is destroyed. After an end Node's HTTP/2 shuts its side down and still writes, and an assertion of
 *   Node's then ends the whole process.
 * @param below The connection that the WebSocket speaks over.
 */
export function streamOver(socket: WebSocket, below: Duplex): Duplex {
  const stream = new Duplex({
    readableHighWaterMark: DATA_BUFFER_BYTES,
    writableHighWaterMark: DATA_BUFFER_BYTES,
    read() {
      if (socket.isPaused) socket.resume();
    },
    write: (chunk, _encoding, done) => socket.send(chunk, done),
    writev(chunks, done) {
      below.cork();
      for (const [index, { chunk }] of chunks.entries()) {
        const isLast = index === chunks.length - 1;
        socket.send(chunk, isLast ? done : undefined);
      }
      below.uncork();
    },
    final(done) {
      socket.close();
      done();
    },
    destroy(error, done) {
      socket.terminate();
      done(error);
    },
  });
  socket.on('message', (message: RawData) => {
    if (!stream.push(message)) socket.pause();
  });
  socket.once('error', (error) => stream.destroy(error));
  socket.once('close', () => stream.destroy());
  return stream;
}
