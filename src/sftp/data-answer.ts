import type { SFTPWrapper } from 'ssh2';
import { lengthOf, type Pieces } from './pieces.js';

/** SSH_FXP_DATA, draft-ietf-secsh-filexfer-02, section 7. */
const DATA = 103;
const HEAD_BYTES = 13;
/** Of one packet of SSH. */
const PACKET_MAX_BYTES = 32 * 1024;
/** Each packet is put together here: ssh2 copies it before it returns. */
const packet = Buffer.allocUnsafeSlow(PACKET_MAX_BYTES);

/** Of ssh2's channel, what it does not show. */
interface Channel {
  outgoing: { id: number; window: number; packetSize: number; state: string };
  _buffer: Buffer[];
  _protocol: { channelData(channelId: number, bytes: Buffer): void };
}

/**
 * The answer to a READ. ssh2's own joins all of it, to cut it into packets: memory for each byte once more, and so much of
 * it that V8 looks for garbage most of the time.
 */
export function sendData(sftp: SFTPWrapper, id: number, pieces: Pieces): void {
  const { outgoing, _buffer: waiting, _protocol: protocol } = sftp as unknown as Channel;
  const length = lengthOf(pieces);
  const hasRoom = outgoing.state === 'open' && waiting.length === 0;
  if (!hasRoom || outgoing.window <= HEAD_BYTES + length) {
    sftp.data(id, Buffer.concat(pieces, length));
    return;
  }
  const packetMaxBytes = Math.min(outgoing.packetSize, PACKET_MAX_BYTES);
  let filled = writeHead(id, length);
  const flush = () => {
    outgoing.window -= filled;
    protocol.channelData(outgoing.id, packet.subarray(0, filled));
    filled = 0;
  };
  for (const piece of pieces) {
    for (let taken = 0; taken < piece.length; ) {
      const copied = piece.copy(packet, filled, taken, taken + packetMaxBytes - filled);
      taken += copied;
      filled += copied;
      if (filled === packetMaxBytes) flush();
    }
  }
  if (filled > 0) flush();
}

function writeHead(id: number, length: number): number {
  packet.writeUInt32BE(HEAD_BYTES - 4 + length, 0);
  packet.writeUInt8(DATA, 4);
  packet.writeUInt32BE(id, 5);
  packet.writeUInt32BE(length, 9);
  return HEAD_BYTES;
}
