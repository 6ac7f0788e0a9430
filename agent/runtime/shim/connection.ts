import type { Socket } from 'node:net';
import type { Game } from './game.js';
import type { OutputRing } from './output-ring.js';
import {
  type AttachFrame,
  createFrameReader,
  encodeJsonFrame,
  encodeOutputFrame,
  Frame,
  type ShimExit,
  type SignalFrame,
  type WriteFrame,
} from './protocol.js';

export interface ConnectionSource {
  socket: Socket;
  ring: OutputRing;
  game: Game;
  /** Null while the game runs. */
  exit(): ShimExit | null;
  onRelease(): void;
}

/** One agent's connection; `pump` is called whenever there may be something new to send. */
export function serveConnection({ socket, ring, game, exit, onRelease }: ConnectionSource): { pump(): void } {
  let offset: number | null = null;
  let isBlocked = false;
  let isExitSent = false;

  function pump() {
    while (offset !== null && !isBlocked && !socket.destroyed) {
      if (offset < ring.startOffset) {
        socket.write(encodeJsonFrame(Frame.lost, { bytes: ring.startOffset - offset }));
        offset = ring.startOffset;
      }
      const piece = ring.read(offset);
      if (piece === null) return sendExit();
      offset = piece.endOffset;
      // Not drained: the agent is slow. What it does not take stays in the ring, and the oldest is
      // written over; the game never waits.
      isBlocked = !socket.write(encodeOutputFrame(piece));
    }
  }

  function sendExit() {
    const ended = exit();
    if (ended === null || isExitSent) return;
    isExitSent = true;
    socket.write(encodeJsonFrame(Frame.exit, ended));
  }

  function receive(type: number, payload: Buffer) {
    if (type === Frame.attach) {
      const { from } = JSON.parse(payload.toString()) as AttachFrame;
      // An offset from the future can only be a mistake; the end is the next best answer.
      offset = Math.min(from, ring.endOffset);
      pump();
    } else if (type === Frame.write) {
      const { id, data } = JSON.parse(payload.toString()) as WriteFrame;
      game.write(data, (error) => {
        if (!socket.destroyed) socket.write(encodeJsonFrame(Frame.written, { id, error }));
      });
    } else if (type === Frame.signal) {
      const { signal } = JSON.parse(payload.toString()) as SignalFrame;
      void game.signal(signal).catch(logFailure);
    } else if (type === Frame.release && exit() !== null) {
      onRelease();
    }
  }

  const readFrames = createFrameReader(receive);
  socket.on('data', (chunk: Buffer) => {
    try {
      readFrames(chunk);
    } catch (error) {
      logFailure(error);
      socket.destroy();
    }
  });
  socket.on('drain', () => {
    isBlocked = false;
    pump();
  });
  socket.on('error', () => socket.destroy());
  return { pump };
}

/** The shim's standard error is a file beside its socket. */
function logFailure(error: unknown) {
  console.error(error);
}
