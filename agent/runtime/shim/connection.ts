import type { Socket } from 'node:net';
import { z } from 'zod';
import type { Game } from './game.js';
import type { OutputRing } from './output-ring.js';
import { createFrameReader, encodeJsonFrame, encodeOutputFrame, Frame, type ShimExit } from './protocol.js';

const Attach = z.object({ from: z.number().int().nonnegative() });
const Write = z.object({ id: z.number().int(), data: z.string() });
const Signal = z.object({ signal: z.string() });

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
    const message: unknown = JSON.parse(payload.toString() || '{}');
    if (type === Frame.attach) {
      // An offset from the future can only be a mistake; the end is the next best answer.
      offset = Math.min(Attach.parse(message).from, ring.endOffset);
      pump();
    } else if (type === Frame.write) {
      const { id, data } = Write.parse(message);
      game.write(data, (error) => {
        if (!socket.destroyed) socket.write(encodeJsonFrame(Frame.written, { id, error }));
      });
    } else if (type === Frame.signal) {
      void game.signal(Signal.parse(message).signal as NodeJS.Signals).catch(logFailure);
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
