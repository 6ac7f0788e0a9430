import type { WebSocket } from 'ws';

/** Reading from a socket, stopped as long as anybody wants it stopped: TCP then slows the other end down. */
export interface Valve {
  pause(): void;
  resume(): void;
  isPaused(): boolean;
}

export function createValve(socket: WebSocket): Valve {
  let pauses = 0;
  return {
    pause() {
      pauses += 1;
      if (pauses === 1) socket.pause();
    },
    resume() {
      if (pauses === 0) return;
      pauses -= 1;
      if (pauses === 0) socket.resume();
    },
    isPaused: () => pauses > 0,
  };
}
