import type { Socket } from 'node:net';
import type { SFTPWrapper, Connection as SshConnection } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Log } from '../lib/log.js';
import { type Guest, networkOf } from './admission.js';
import type { Authenticator } from './authentication.js';
import type { Caller } from './caller.js';
import type { Changes } from './changes.js';
import { type Channel, serveChannel } from './channel.js';
import { sayBeforeLogin, sayGoodbye } from './farewell.js';
import { hasReversedLinks } from './link-order.js';
import { acceptSessions } from './sessions.js';
import { isRefusal } from './status.js';
import type { SftpTimings } from './timings.js';
import { guardWire } from './wire-guard.js';

/** Who is sent away and does not go is cut off. */
const END_TIMEOUT_MS = 500;

/** One client's connection. */
export interface Connection extends Guest {
  caller(): Caller | undefined;
  /** Looks again whether the caller may still be here. */
  recheck(): Promise<void>;
  endIfOver(nowMs: number): void;
  /** Tells the client why. What has come of his uploads stays, so that they can be resumed. */
  end(reason: string): void;
  /** He may not be here (any more): what he was uploading is thrown away. */
  expel(reason: string): void;
  /** The client has said its name and speaks SSH. */
  serve(ssh: SshConnection, authenticator: Authenticator, software: string): void;
  signIn(caller: Caller): void;
  /** A sentence for who signs in. */
  tell(text: string): void;
  /** Everything that it had open is closed, and what it changed is recorded. */
  closed: Promise<void>;
}

export interface ConnectionOptions {
  socket: Socket;
  files: FilePlane;
  log: Log;
  timings: SftpTimings;
  collect(caller: Caller): Changes;
}

export function openConnection({ socket, files, log, timings, collect }: ConnectionOptions): Connection {
  const address = socket.remoteAddress ?? '';
  const channels = new Set<Channel>();
  let caller: Caller | undefined;
  let changes: Changes | undefined;
  let ssh: SshConnection | undefined;
  let isEnding = false;
  let isExpelled = false;
  let signedInAtMs = 0;
  let requestedAtMs = Date.now();
  const grace = setTimeout(() => end('You did not sign in in time.'), timings.loginGraceMs);
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      clearTimeout(grace);
      if (!isEnding) noteEnd('The client has gone.');
      isEnding = true;
      finish().then(resolve, resolve);
    });
  });

  async function finish(): Promise<void> {
    await endChannels();
    await changes?.end();
  }

  async function endChannels(): Promise<void> {
    await Promise.all([...channels].map((channel) => channel.end(isExpelled)));
  }

  function noteEnd(reason: string): void {
    if (!caller) {
      log.debug({ address, reason }, 'a connection by SFTP ended before anybody had signed in');
      return;
    }
    const { userId, serverId } = caller;
    const seconds = Math.round((Date.now() - signedInAtMs) / 1000);
    log.info({ userId, serverId, address, seconds, reason }, 'a session by SFTP has ended');
  }

  function end(reason: string): void {
    if (isEnding) return;
    isEnding = true;
    noteEnd(reason);
    endChannels().catch((error: unknown) =>
      log.error({ err: error }, 'files of a client could not be closed'),
    );
    if (ssh) sayGoodbye(ssh, reason, log);
    else socket.destroy();
    setTimeout(() => socket.destroy(), END_TIMEOUT_MS).unref();
  }

  function expel(reason: string): void {
    isExpelled ||= !isEnding;
    end(reason);
  }

  function openChannel(signedIn: Caller, sftp: SFTPWrapper, software: string): void {
    changes ??= collect(signedIn);
    const channel = serveChannel({
      ...{ sftp, socket, files, changes, log },
      caller: signedIn,
      hasReversedLinks: hasReversedLinks(software),
      onRequest: () => {
        requestedAtMs = Date.now();
      },
      onLost: expel,
    });
    channels.add(channel);
    const close = () => {
      channel
        .end(isExpelled)
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

  return {
    network: networkOf(address),
    userId: () => caller?.userId,
    caller: () => caller,
    closed,
    end,
    expel,
    endIfOver(nowMs) {
      if (!caller) return;
      if (caller.expiresAtMs <= nowMs) expel('Your token has expired: sign in again.');
      else if (nowMs - requestedAtMs > timings.idleMaxMs) end('You did not ask for anything for long.');
    },
    async recheck() {
      if (!caller || isEnding) return;
      caller.forget();
      try {
        await caller.authorise('file.read');
      } catch (error) {
        if (isRefusal(error)) expel(`You may not be here any more: ${error.message}`);
        else log.debug({ err: error }, 'the rights of a client could not be looked up');
      }
    },
    serve(connection, authenticator, software) {
      ssh = connection;
      guardWire(connection, socket, () => end('It asks on and on, and does not take the answers.'));
      // ssh2 ends some of these only as far as the client takes part.
      connection.on('error', (error: Error) => {
        log.debug({ err: error, address }, 'a connection by SFTP failed');
        end('The connection failed.');
      });
      connection.on('authentication', (context) => {
        authenticator.attempt(context).catch((error: unknown) => {
          log.error({ err: error }, 'a login by SFTP could not be answered');
          end('Your login could not be answered.');
        });
      });
      connection.on('ready', () => {
        clearTimeout(grace);
        const signedIn = caller;
        if (!signedIn) return;
        const { userId, serverId, actor } = signedIn;
        log.info({ userId, serverId, address, software, with: actor.credential.kind }, 'signed in by SFTP');
        acceptSessions(connection, {
          isEnding: () => isEnding,
          onSftp: (sftp) => openChannel(signedIn, sftp, software),
          onTooMany: end,
        });
      });
    },
    signIn(found) {
      caller = found;
      signedInAtMs = Date.now();
      requestedAtMs = signedInAtMs;
    },
    tell(text) {
      if (ssh && !isEnding) sayBeforeLogin(ssh, text, log);
    },
  };
}
