import { Socket } from 'node:net';
import { HostFailure } from './failure.js';
import { openMysql } from './mysql.js';
import { openPostgresql } from './postgresql.js';
import type { HostSession, HostSettings, Line } from './session.js';
import { createSlots } from './slots.js';

/** Of one panel to one host. */
const CONNECTIONS_PER_HOST_MAX = 4;
const WAITING_PER_HOST_MAX = 50;
const WAIT_TIMEOUT_MS = 10_000;
/** For the connection to stand and the account to be let in. */
const CONNECT_TIMEOUT_MS = 5000;
/** For everything that is done on it. */
const OPERATION_TIMEOUT_MS = 20_000;

const ENGINES = { mysql: openMysql, postgresql: openPostgresql };

export interface HostConnections {
  /**
   * Does the work on a connection of its own and closes it. Throws `HostFailure`, of the kind `unavailable` too when
   * the host is busy or too slow; otherwise what the work throws.
   */
  use<Result>(settings: HostSettings, work: (session: HostSession) => Promise<Result>): Promise<Result>;
  /** Ends what is under way and begins nothing any more. */
  close(): void;
}

export function createHostConnections(): HostConnections {
  const slots = createSlots({
    max: CONNECTIONS_PER_HOST_MAX,
    waitingMax: WAITING_PER_HOST_MAX,
    waitTimeoutMs: WAIT_TIMEOUT_MS,
  });
  const lines = new Set<{ cut(reason?: Error): void }>();
  let isClosed = false;

  return {
    async use(settings, work) {
      const release = await slots.take(`${settings.host}:${settings.port}`).catch((error: Error) => {
        throw new HostFailure('unavailable', error.message);
      });
      const line = createLine();
      lines.add(line);
      try {
        if (isClosed) throw stopping();
        line.allow(CONNECT_TIMEOUT_MS);
        const session = await ENGINES[settings.engine](settings, line);
        line.allow(OPERATION_TIMEOUT_MS);
        const result = await work(session);
        await session.close().catch(() => {});
        return result;
      } finally {
        line.cut();
        lines.delete(line);
        release();
      }
    },
    close() {
      isClosed = true;
      for (const line of lines) line.cut(stopping());
    },
  };
}

function stopping(): HostFailure {
  return new HostFailure('unavailable', 'the panel is stopping');
}

/** The sockets of one operation: whatever the driver waits for, it ends when its time is over. */
function createLine(): Line & { allow(timeoutMs: number): void; cut(reason?: Error): void } {
  const sockets = new Set<Socket>();
  let deadline = 0;
  let timer: NodeJS.Timeout | undefined;

  function cut(reason?: Error): void {
    clearTimeout(timer);
    for (const socket of sockets) socket.destroy(reason);
  }

  return {
    dial() {
      const socket = new Socket();
      socket.setNoDelay(true);
      // The driver listens too; this one is for what comes after it has stopped.
      socket.on('error', () => {});
      sockets.add(socket);
      return socket;
    },
    requireTime() {
      if (Date.now() > deadline) throw new HostFailure('unavailable', 'the host took too long');
    },
    allow(timeoutMs) {
      clearTimeout(timer);
      deadline = Date.now() + timeoutMs;
      timer = setTimeout(
        () => cut(new HostFailure('unavailable', `no answer within ${timeoutMs / 1000} s`)),
        timeoutMs,
      );
    },
    cut,
  };
}
