import { createServer, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import ssh2 from 'ssh2';
import type { Context } from '../context.js';
import { AppError } from '../lib/errors.js';
import { hasPlace, isAdmitted, networkOf } from './admission.js';
import { createAuthenticator } from './authentication.js';
import type { Caller } from './caller.js';
import { collectChanges } from './changes.js';
import { type Connection, openConnection } from './connection.js';
import type { HostKey } from './host-keys.js';
import { createLoginAudit } from './login-audit.js';
import { createLoginThrottle } from './login-throttle.js';
import { SFTP_TIMINGS, type SftpTimings } from './timings.js';
import { startWatch } from './watch.js';

/** What is safe today, and what every client of the last ten years has some of. No SHA-1, no CBC. */
const ALGORITHMS = {
  kex: [
    'curve25519-sha256',
    'curve25519-sha256@libssh.org',
    'ecdh-sha2-nistp256',
    'ecdh-sha2-nistp384',
    'ecdh-sha2-nistp521',
    'diffie-hellman-group14-sha256',
    'diffie-hellman-group16-sha512',
  ],
  cipher: [
    'aes128-gcm@openssh.com',
    'aes256-gcm@openssh.com',
    'chacha20-poly1305@openssh.com',
    'aes128-ctr',
    'aes192-ctr',
    'aes256-ctr',
  ],
  hmac: ['hmac-sha2-256-etm@openssh.com', 'hmac-sha2-512-etm@openssh.com', 'hmac-sha2-256', 'hmac-sha2-512'],
  compress: ['none'],
} satisfies ssh2.Algorithms;

const USER_AGENT_MAX_LENGTH = 200;
/** What nodes and the database do not answer in time at the end is left to them. */
const CLOSE_TIMEOUT_MS = 15_000;

export type SftpContext = Pick<
  Context,
  'auth' | 'access' | 'bus' | 'database' | 'filePlane' | 'log' | 'sftpState'
>;

export interface SftpServer {
  port: number;
  /** Refuses new connections, ends those there are, and waits until what they had open is closed. */
  close(): Promise<void>;
}

/** The door for SFTP clients. Throws what listening on the port throws. */
export async function startSftp({
  context,
  hostKeys,
  host,
  port,
  timings: given,
}: {
  context: SftpContext;
  hostKeys: HostKey[];
  host: string;
  port: number;
  timings?: Partial<SftpTimings>;
}): Promise<SftpServer> {
  const timings = { ...SFTP_TIMINGS, ...given };
  const { auth, access, bus, log, filePlane: files } = context;
  const { pool } = context.database;
  const connections = new Set<Connection>();
  const bySocket = new Map<string, Connection>();
  const shared = {
    auth,
    access,
    pool,
    log,
    throttle: createLoginThrottle(),
    audit: createLoginAudit({ pool, log }),
  };

  const ssh = new ssh2.Server({
    hostKeys: hostKeys.map((key) => ({ key })),
    algorithms: ALGORITHMS,
    ident: 'Catalyst',
    keepaliveInterval: timings.keepaliveIntervalMs,
    keepaliveCountMax: timings.keepalivesMissedMax,
  });
  ssh.on('connection', (connection, { ip, port: clientPort, header }) => {
    const known = bySocket.get(socketName(ip, clientPort));
    if (!known) {
      connection.on('error', (error: Error) => log.debug({ err: error }, 'a connection by SFTP failed'));
      connection.end();
      return;
    }
    const software = header.versions.software.slice(0, USER_AGENT_MAX_LENGTH);
    const authenticator = createAuthenticator(shared, {
      origin: { ipAddress: ip, userAgent: software },
      onSignedIn(caller) {
        if (!hasPlace(connections, caller.userId)) throw new AppError('gateway.too_many_connections');
        known.signIn(caller);
      },
      onRefused: (reason) => known.tell(reason),
      onTooMany: () => known.end('Too many tries to sign in.'),
    });
    known.serve(connection, authenticator, software);
  });

  const collect = (caller: Caller) => collectChanges({ pool, files, log, caller, ...timings });

  function receive(socket: Socket): void {
    socket.on('error', (error) => log.debug({ err: error }, 'the socket of an SFTP client failed'));
    const { remoteAddress, remotePort } = socket;
    const isIn = (from: string) => isAdmitted(connections, networkOf(from), Math.random());
    if (remoteAddress === undefined || !isIn(remoteAddress)) {
      socket.destroy();
      return;
    }
    socket.setNoDelay(true);
    const name = socketName(remoteAddress, remotePort);
    const connection = openConnection({ socket, files, log, timings, collect });
    connections.add(connection);
    bySocket.set(name, connection);
    socket.once('close', () => bySocket.delete(name));
    const forget = () => connections.delete(connection);
    connection.closed.then(forget, forget);
    ssh.injectSocket(socket);
  }

  const listener = createServer(receive);
  await new Promise<void>((resolve, reject) => {
    listener.once('error', reject);
    listener.listen({ host, port }, resolve);
  });
  listener.on('error', (error) => log.error({ err: error }, 'SFTP does not take connections'));
  const watch = startWatch({ bus, pool, log, connections, ...timings });
  const address = listener.address();
  context.sftpState.isRunning = true;

  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    async close() {
      context.sftpState.isRunning = false;
      const closed = new Promise((resolve) => listener.close(resolve));
      await watch.stop();
      const open = [...connections];
      for (const connection of open) connection.end('The panel is shutting down.');
      const allClosed = Promise.all(open.map((connection) => connection.closed));
      await Promise.race([allClosed, delay(CLOSE_TIMEOUT_MS, undefined, { ref: false })]);
      await closed;
    },
  };
}

function socketName(address: string, port: number | undefined): string {
  return `${address} ${port}`;
}
