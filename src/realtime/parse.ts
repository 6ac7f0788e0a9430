import { AppError } from '../lib/errors.js';
import { createFrameParser, type Frame } from '../lib/web-sockets.js';
import { ClientMessage } from '../protocol/client-messages.js';

const parseFrame = createFrameParser(ClientMessage);

/** Throws `gateway.frame_invalid` or `gateway.type_unknown`. */
export function parseMessage(frame: Frame): ClientMessage {
  const parsed = parseFrame(frame);
  if (parsed.kind === 'message') return parsed.message;
  if (parsed.kind === 'invalid') throw new AppError('gateway.frame_invalid', parsed.problem);
  throw new AppError('gateway.type_unknown', `Unknown message type: ${parsed.type}`);
}
