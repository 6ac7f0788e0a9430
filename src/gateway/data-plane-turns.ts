import type { Socket } from 'node:net';
import type { Precedence } from '../lib/precedence.js';

/** So much of a data connection is taken before everybody else has had a turn: a fraction of a millisecond's work. */
const TURN_BYTES = 128 * 1024;

/** Of Node's socket, what it does not show: HTTP/2 reads from here, past the stream. */
interface Handle {
  readStart(): void;
  readStop(): void;
}

/**
 * Node reads up to 2 MB of a socket before it looks at any other: while files are fetched each answer of the database, and
 * each message of an agent, would wait for as long as that takes, and a command needs a dozen of them.
 * @returns To be called with what has come.
 */
export function createTurns(socket: Socket, precedence: Precedence): (bytes: number) => void {
  const { _handle: handle } = socket as unknown as { _handle: Handle };
  let takenBytes = 0;
  let isHeld = false;

  function goOn(): void {
    isHeld = false;
    takenBytes = 0;
    if (!socket.destroyed) handle.readStart();
  }

  return (bytes) => {
    takenBytes += bytes;
    if (takenBytes < TURN_BYTES || isHeld) return;
    isHeld = true;
    handle.readStop();
    setImmediate(() => {
      if (!precedence.mustWait(goOn)) goOn();
    });
  };
}
