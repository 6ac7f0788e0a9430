import { AppError } from '../lib/errors.js';
import { ClientMessage } from '../protocol/client-messages.js';

const KNOWN_TYPES = new Set<string>(ClientMessage.options.map((option) => option.shape.type.value));
const SHOWN_MAX_LENGTH = 100;

/** Throws `gateway.frame_invalid` or `gateway.type_unknown`. */
export function parseMessage(data: Buffer, isBinary: boolean): ClientMessage {
  if (isBinary) throw new AppError('gateway.frame_invalid', 'Messages are text frames.');
  const value = parseJson(data);
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') {
    throw new AppError('gateway.frame_invalid', 'A message is a JSON object with a type.');
  }
  const type = value.type.slice(0, SHOWN_MAX_LENGTH);
  if (!KNOWN_TYPES.has(type)) throw new AppError('gateway.type_unknown', `Unknown message type: ${type}`);
  const result = ClientMessage.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const where = issue?.path.join('.').slice(0, SHOWN_MAX_LENGTH);
  throw new AppError('gateway.frame_invalid', `${type}: ${where}: ${issue?.message}`);
}

function parseJson(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}
