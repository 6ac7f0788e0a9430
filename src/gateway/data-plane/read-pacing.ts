import type { Socket } from 'node:net';
import type { Precedence } from '../../lib/precedence.js';

/** So much of a data connection is taken before everybody else has had a turn: a fraction of a millisecond's work. */
const TURN_BYTES = 128 * 1024;

/** Of Node's socket, what it does not show: HTTP/2 reads from here, past the stream. */
interface Handle {
  readStart(): void;
  readStop(): void;
  /** What was written and is not with the system yet. */
  readonly writeQueueSize: number;
}

/**
 * Node reads up to 2 MB of a socket before it looks at any other: while files are fetched each answer of the database, and
 * each message of an agent, would wait for as long as that takes, and a command needs a dozen of them.
 * @returns To be called with what has come.
 */
export function paceReads(socket: Socket, precedence: Precedence): (bytes: number) => void {
  const { _handle: handle } = socket as unknown as { _handle: Handle };
  let takenBytes = 0;
  let isHeld = false;

  function goOn(): void {
    isHeld = false;
    takenBytes = 0;
    // While a write waits HTTP/2 does not read, and does again by itself after it: what it is given meanwhile it mixes up.
    if (!socket.destroyed && handle.writeQueueSize === 0) handle.readStart();
  }

  return (bytes) => {
    takenBytes += bytes;
    if (takenBytes < TURN_BYTES || isHeld) return;
    isHeld = true;
    handle.readStop();
    setImmediate(() => {
      // In its own turn, too: before it HTTP/2 has heard of the writes that are over.
      if (!precedence.mustWait(() => setImmediate(goOn))) goOn();
    });
  };
}
