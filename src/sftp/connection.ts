import type { Socket } from 'node:net';
import type { Connection as SshConnection } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Log } from '../lib/log.js';
import type { Guest } from './admission.js';
import type { Authenticator } from './authentication.js';
import type { Caller } from './caller.js';
import { type Channel, serveChannel } from './channel.js';
import { isRefusal } from './status.js';

/** From the first byte to being signed in. */
const LOGIN_GRACE_MS = 30_000;
/** Nobody asked for anything. */
const IDLE_MAX_MS = 30 * 60_000;
const CHANNELS_MAX = 8;
/** Who is sent away and does not go is cut off. */
const END_TIMEOUT_MS = 500;

/** One client's connection. */
export interface Connection extends Guest {
  caller(): Caller | undefined;
  /** Looks again whether the caller may still be here. */
  recheck(): Promise<void>;
  endIfIdle(nowMs: number): void;
  end(reason: string): void;
  /** The client has said its name and speaks SSH. */
  serve(ssh: SshConnection, authenticator: Authenticator): void;
  signIn(caller: Caller): void;
  /** Everything that it had open is closed. */
  closed: Promise<void>;
}

export function openConnection({
  socket,
  files,
  log,
}: {
  socket: Socket;
  files: FilePlane;
  log: Log;
}): Connection {
  const address = socket.remoteAddress ?? '';
  const channels = new Set<Channel>();
  let channelCount = 0;
  let caller: Caller | undefined;
  let ssh: SshConnection | undefined;
  let isEnding = false;
  let requestedAtMs = Date.now();
  const grace = setTimeout(() => end('It did not sign in in time.'), LOGIN_GRACE_MS);
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      clearTimeout(grace);
      isEnding = true;
      endChannels().then(resolve, resolve);
    });
  });

  async function endChannels(): Promise<void> {
    await Promise.all([...channels].map((channel) => channel.end()));
  }

  function end(reason: string): void {
    if (isEnding) return;
    isEnding = true;
    log.debug({ address, serverId: caller?.serverId, reason }, 'a connection by SFTP is ended');
    endChannels().catch((error: unknown) =>
      log.error({ err: error }, 'files of a client could not be closed'),
    );
    if (ssh) ssh.end();
    else socket.destroy();
    setTimeout(() => socket.destroy(), END_TIMEOUT_MS).unref();
  }

  function openChannel(signedIn: Caller, sftp: Parameters<typeof serveChannel>[0]['sftp']): void {
    const channel = serveChannel({
      sftp,
      socket,
      caller: signedIn,
      files,
      log,
      onRequest: () => {
        requestedAtMs = Date.now();
      },
      onLost: end,
    });
    channels.add(channel);
    const close = () => {
      channel
        .end()
        .catch((error: unknown) => log.error({ err: error }, 'files of a client could not be closed'))
        .finally(() => channels.delete(channel));
    };
    // Without an answer to the end of the channel OpenSSH's client waits for ever.
    sftp.on('end', () => sftp.end());
    sftp.on('close', close);
    sftp.on('error', (error: Error) => {
      log.debug({ err: error }, 'a client does not keep to the protocol of SFTP');
      close();
    });
    if (isEnding) close();
  }

  /** Only the subsystem `sftp` has a listener: ssh2 refuses programs, shells and forwarding by itself. */
  function acceptSessions(connection: SshConnection, signedIn: Caller): void {
    connection.on('session', (accept, reject) => {
      if (channelCount >= CHANNELS_MAX || isEnding) {
        reject();
        return;
      }
      channelCount += 1;
      const session = accept();
      session.on('close', () => {
        channelCount -= 1;
      });
      session.on('sftp', (acceptSftp) => openChannel(signedIn, acceptSftp()));
    });
  }

  return {
    address,
    userId: () => caller?.userId,
    caller: () => caller,
    closed,
    end,
    endIfIdle(nowMs) {
      if (caller && nowMs - requestedAtMs > IDLE_MAX_MS) end('It did not ask for anything for long.');
    },
    async recheck() {
      if (!caller || isEnding) return;
      caller.forget();
      try {
        await caller.authorise('file.read');
      } catch (error) {
        if (isRefusal(error)) end('The caller may not be here any more.');
        else log.debug({ err: error }, 'the rights of a client could not be looked up');
      }
    },
    serve(connection, authenticator) {
      ssh = connection;
      connection.on('error', (error: Error) =>
        log.debug({ err: error, address }, 'a connection by SFTP failed'),
      );
      connection.on('authentication', (context) => {
        authenticator.attempt(context).catch((error: unknown) => {
          log.error({ err: error }, 'a login by SFTP could not be answered');
          end('Its login could not be answered.');
        });
      });
      connection.on('ready', () => {
        clearTimeout(grace);
        if (caller) acceptSessions(connection, caller);
      });
    },
    signIn(found) {
      caller = found;
      requestedAtMs = Date.now();
    },
  };
}
