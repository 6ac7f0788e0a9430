import type { ConsoleLines } from '../events.js';
import type { LogLine } from '../modules/console/history.js';
import type { LogGapMessage, PanelToClientMessage, ServerLogMessage } from '../protocol/client-messages.js';

const FINAL_TEXT = 0x81;
const SHORT_MAX = 125;
const MEDIUM_MAX = 0xffff;
const MEDIUM_FOLLOWS = 126;
const LONG_FOLLOWS = 127;

/**
 * The message as a complete WebSocket frame, made once for all who get it and written to their sockets as it is:
 * a server's frames are not masked, and so the same for everybody. https://www.rfc-editor.org/rfc/rfc6455#section-5.2
 */
export function encode(message: PanelToClientMessage): Buffer {
  const text = JSON.stringify(message);
  const length = Buffer.byteLength(text);
  const headerLength = length <= SHORT_MAX ? 2 : length <= MEDIUM_MAX ? 4 : 10;
  const frame = Buffer.allocUnsafe(headerLength + length);
  frame[0] = FINAL_TEXT;
  if (length <= SHORT_MAX) {
    frame[1] = length;
  } else if (length <= MEDIUM_MAX) {
    frame[1] = MEDIUM_FOLLOWS;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = LONG_FOLLOWS;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  frame.write(text, headerLength);
  return frame;
}

export function encodeLines({ serverId, stream, data, timestamp, seq, firstSeq }: ConsoleLines): Buffer {
  const message: ServerLogMessage = { type: 'server_log', serverId, stream, data, timestamp, seq, firstSeq };
  return encode(message);
}

export function encodeGap({ serverId, from, to, reason }: Omit<LogGapMessage, 'type'>): Buffer {
  return encode({ type: 'log_gap', serverId, from, to, reason });
}

const BUNDLE_MAX_LENGTH = 64 * 1024;

/** Lines that follow each other on one stream, together; each bundle has the time of its first. */
export function* bundleLines(serverId: string, lines: readonly LogLine[]): Generator<ConsoleLines> {
  let bundle: ConsoleLines | undefined;
  for (const line of lines) {
    const follows = bundle?.stream === line.stream && bundle.seq + 1 === line.seq;
    if (bundle && follows && bundle.data.length + line.data.length <= BUNDLE_MAX_LENGTH) {
      bundle.data += line.data;
      bundle.seq = line.seq;
    } else {
      if (bundle) yield bundle;
      bundle = { ...line, serverId, firstSeq: line.seq };
    }
  }
  if (bundle) yield bundle;
}
