import type { SFTPWrapper } from 'ssh2';

/**
 * What the words of a status do not say. OpenSSH's client shows nothing else of a refusal; "Failure" is all that there is
 * to see of a full disk.
 */
const EXPLAINED: ReadonlySet<string> = new Set([
  'database.unavailable',
  'file.busy',
  'file.failed',
  'file.name_invalid',
  'file.no_space',
  'file.quota_exceeded',
  'file.too_large',
  'node.files_unavailable',
  'node.offline',
  'request.invalid',
  'server.busy',
  'server.not_installed',
]);
const EXPLANATIONS_MAX = 50;
/** The same sentence is not said again within this. */
const SILENCE_MS = 5000;
const TEXT_MAX_LENGTH = 300;
const STDERR = 1;

/** Of ssh2's channel, what it does not show. */
interface Channel {
  _isOpenSSH?: boolean;
  _buffer: unknown[];
  outgoing: { id: number; window: number; state: string };
  _protocol: { channelExtData(channelId: number, data: Buffer, type: number): void };
}

export type Explain = (code: string, message: string) => void;

/**
 * Says why on what a program at the other end would have as its standard error: `ssh`, which OpenSSH's `sftp` and others
 * run, shows it. Other clients show the message of the status.
 */
export function createExplanations(sftp: SFTPWrapper): Explain {
  const channel = sftp as unknown as Channel;
  let count = 0;
  let last = { text: '', atMs: 0 };

  return (code, message) => {
    if (!channel._isOpenSSH || !EXPLAINED.has(code) || count >= EXPLANATIONS_MAX) return;
    const text = message.replaceAll(/[\p{Cc}\p{Cf}]+/gu, ' ').slice(0, TEXT_MAX_LENGTH);
    const nowMs = Date.now();
    if (text === last.text && nowMs - last.atMs < SILENCE_MS) return;
    const data = Buffer.from(`${text}\r\n`);
    const { outgoing } = channel;
    if (outgoing.state !== 'open' || outgoing.window < data.length || channel._buffer.length > 0) return;
    count += 1;
    last = { text, atMs: nowMs };
    outgoing.window -= data.length;
    channel._protocol.channelExtData(outgoing.id, data, STDERR);
  };
}
