import type { Socket } from 'node:net';
import type { Connection as SshConnection } from 'ssh2';
import type { Log } from '../lib/log.js';
import type { Authenticator } from './authentication.js';
import { guardWire } from './wire-guard.js';

/**
 * Lets the client sign in, and ends the connection when it fails or is misused: ssh2 ends some of these only as far as the
 * client takes part.
 */
export function serveSsh(
  ssh: SshConnection,
  {
    socket,
    authenticator,
    log,
    end,
  }: { socket: Socket; authenticator: Authenticator; log: Log; end: (reason: string) => void },
): void {
  guardWire(ssh, socket, () => end('It asks on and on, and does not take the answers.'));
  ssh.on('error', (error: Error) => {
    log.debug({ err: error, address: socket.remoteAddress }, 'a connection by SFTP failed');
    end('The connection failed.');
  });
  ssh.on('authentication', (context) => {
    authenticator.attempt(context).catch((error: unknown) => {
      log.error({ err: error }, 'a login by SFTP could not be answered');
      end('Your login could not be answered.');
    });
  });
}
