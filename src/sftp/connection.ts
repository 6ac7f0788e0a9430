import type { Socket } from 'node:net';
import type { Connection as SshConnection } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Log } from '../lib/log.js';
import { type AdmittedConnection, networkOf } from './admission.js';
import type { Authenticator } from './authentication.js';
import type { Caller } from './caller.js';
import type { Changes } from './changes.js';
import { createChannels } from './channels.js';
import { acceptSessions } from './sessions.js';
import { serveSsh } from './ssh-serving.js';
import { isRefusal } from './status.js';
import type { SftpTimings } from './timings.js';
import { sendBanner, sendDisconnect } from './transport-messages.js';

/** Who is sent away and does not go is cut off. */
const END_TIMEOUT_MS = 500;

/** One client's connection. */
export interface Connection extends AdmittedConnection {
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
  let caller: Caller | undefined;
  let ssh: SshConnection | undefined;
  let isEnding = false;
  let isExpelled = false;
  let signedInAtMs = 0;
  let requestedAtMs = Date.now();
  const grace = setTimeout(() => end('You did not sign in in time.'), timings.loginGraceMs);
  const channels = createChannels({
    socket,
    files,
    log,
    collect,
    isEnding: () => isEnding,
    isExpelled: () => isExpelled,
    onRequest: () => {
      requestedAtMs = Date.now();
    },
    onLost: expel,
  });
  const closed = new Promise<void>((resolve) => {
    socket.once('close', () => {
      clearTimeout(grace);
      if (!isEnding) logEnd(log, { caller, address, signedInAtMs, reason: 'The client has gone.' });
      isEnding = true;
      channels.finish().then(resolve, resolve);
    });
  });

  function end(reason: string): void {
    if (isEnding) return;
    isEnding = true;
    logEnd(log, { caller, address, signedInAtMs, reason });
    void channels.end();
    if (ssh) sendDisconnect(ssh, reason, log);
    else socket.destroy();
    setTimeout(() => socket.destroy(), END_TIMEOUT_MS).unref();
  }

  function expel(reason: string): void {
    isExpelled ||= !isEnding;
    end(reason);
  }

  function onReady(connection: SshConnection, software: string): void {
    clearTimeout(grace);
    const signedIn = caller;
    if (!signedIn) return;
    const { userId, serverId, actor } = signedIn;
    log.info({ userId, serverId, address, software, with: actor.credential.kind }, 'signed in by SFTP');
    acceptSessions(connection, {
      isEnding: () => isEnding,
      onSftp: (sftp) => channels.open(signedIn, sftp, software),
      onTooMany: end,
    });
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
      connection.on('ready', () => onReady(connection, software));
      serveSsh(connection, { socket, authenticator, log, end });
    },
    signIn(found) {
      caller = found;
      signedInAtMs = Date.now();
      requestedAtMs = signedInAtMs;
    },
    tell(text) {
      if (ssh && !isEnding) sendBanner(ssh, text, log);
    },
  };
}

function logEnd(
  log: Log,
  ended: { caller: Caller | undefined; address: string; signedInAtMs: number; reason: string },
): void {
  const { caller, address, signedInAtMs, reason } = ended;
  if (!caller) {
    log.debug({ address, reason }, 'a connection by SFTP ended before anybody had signed in');
    return;
  }
  const { userId, serverId } = caller;
  const seconds = Math.round((Date.now() - signedInAtMs) / 1000);
  log.info({ userId, serverId, address, seconds, reason }, 'a session by SFTP has ended');
}
