import type { Connection as SshConnection } from 'ssh2';
import type { Log } from '../lib/log.js';

const DISCONNECT = 1;
const DISCONNECT_BY_APPLICATION = 11;
const USERAUTH_BANNER = 53;
const TEXT_MAX_BYTES = 400;
const LENGTH_BYTES = 4;

/**
 * Of ssh2's protocol, what it does not show: it ends connections without saying why, and tells nobody who could not
 * sign in what was wrong. The version of ssh2 is pinned; what is not there is left out.
 */
interface Protocol {
  /** Set while keys are exchanged, when nothing else may be sent. */
  _kexinit?: unknown;
  _cipher: { encrypt(packet: Buffer): void };
  _packetRW: {
    write: {
      allocStart: number;
      alloc(bytes: number): Buffer;
      finalize(packet: Buffer): Buffer;
    };
  };
}

/** Ends the connection; most clients show the reason. */
export function sendDisconnect(ssh: SshConnection, reason: string, log: Log): void {
  const code = Buffer.alloc(LENGTH_BYTES);
  code.writeUInt32BE(DISCONNECT_BY_APPLICATION);
  const isSent = send(ssh, Buffer.concat([Buffer.from([DISCONNECT]), code, textOf(reason), textOf('')]), log);
  if (isSent) socketOf(ssh)?.end();
  else ssh.end();
}

/** Text for who is signing in; most clients show it. */
export function sendBanner(ssh: SshConnection, text: string, log: Log): void {
  send(ssh, Buffer.concat([Buffer.from([USERAUTH_BANNER]), textOf(`${text}\r\n`), textOf('')]), log);
}

function send(ssh: SshConnection, payload: Buffer, log: Log): boolean {
  const protocol = (ssh as unknown as { _protocol?: Protocol })._protocol;
  if (!protocol || protocol._kexinit !== undefined || !socketOf(ssh)?.writable) return false;
  try {
    const { write } = protocol._packetRW;
    const start = write.allocStart;
    const packet = write.alloc(payload.length);
    packet.set(payload, start);
    protocol._cipher.encrypt(write.finalize(packet));
    return true;
  } catch (error) {
    log.warn({ err: error }, 'a client of SFTP could not be told why it is refused');
    return false;
  }
}

function socketOf(ssh: SshConnection) {
  return (ssh as unknown as { _sock?: { writable: boolean; end(): void } })._sock;
}

function textOf(text: string): Buffer {
  const bytes = Buffer.from(text).subarray(0, TEXT_MAX_BYTES);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32BE(bytes.length);
  return Buffer.concat([length, bytes]);
}
