import type { Socket } from 'node:net';
import type { SFTPWrapper } from 'ssh2';
import type { FilePlane } from '../gateway/files.js';
import type { Log } from '../lib/log.js';
import type { Caller } from './caller.js';
import type { Changes } from './changes.js';
import { type Channel, serveChannel } from './channel.js';
import { hasReversedLinks } from './link-order.js';

/** All channels of one connection. */
export interface Channels {
  /** @param software As the client names itself. */
  open(caller: Caller, sftp: SFTPWrapper, software: string): void;
  /** Logs what goes wrong. */
  end(): Promise<void>;
  /** Resolves when all are over and what was changed through them is recorded. */
  finish(): Promise<void>;
}

export interface ChannelsOptions {
  socket: Socket;
  files: FilePlane;
  log: Log;
  collect: (caller: Caller) => Changes;
  isEnding: () => boolean;
  /** Whether what was being uploaded is thrown away at the end. */
  isExpelled: () => boolean;
  onRequest: () => void;
  onLost: (reason: string) => void;
}

export function createChannels(options: ChannelsOptions): Channels {
  const { socket, files, log, collect, isEnding, isExpelled, onRequest, onLost } = options;
  const channels = new Set<Channel>();
  let changes: Changes | undefined;

  async function endOne(channel: Channel): Promise<void> {
    try {
      await channel.end(isExpelled());
    } catch (error) {
      log.error({ err: error }, 'files of a client could not be closed');
    }
  }

  async function end(): Promise<void> {
    await Promise.all([...channels].map(endOne));
  }

  return {
    end,
    open(caller, sftp, software) {
      changes ??= collect(caller);
      const channel = serveChannel({
        sftp,
        socket,
        caller,
        files,
        changes,
        log,
        onRequest,
        onLost,
        hasReversedLinks: hasReversedLinks(software),
      });
      channels.add(channel);
      const close = async () => {
        await endOne(channel);
        channels.delete(channel);
      };
      // Without an answer to the end of the channel OpenSSH's client waits for ever.
      sftp.on('end', () => sftp.end());
      sftp.on('close', close);
      sftp.on('error', (error: Error) => {
        log.debug({ err: error }, 'a client does not keep to the protocol of SFTP');
        void close();
      });
      if (isEnding()) void close();
    },
    async finish() {
      await end();
      await changes?.end();
    },
  };
}
