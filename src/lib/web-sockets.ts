import type { WebSocket } from 'ws';
import type { z } from 'zod';

const CLOSE_TIMEOUT_MS = 2000;
/** Of what a client sent and is told again. */
const SHOWN_MAX_LENGTH = 100;

export interface Frame {
  data: Buffer;
  isBinary: boolean;
}

export type ParsedFrame<Message> =
  | { kind: 'message'; message: Message }
  | { kind: 'unknown'; type: string }
  | { kind: 'invalid'; problem: string };

type MessageSchema = z.ZodObject<{ type: z.ZodLiteral<string> }>;

/** Reads text frames that hold one of the messages as JSON, told apart by their `type`. */
export function createFrameParser<Schemas extends readonly MessageSchema[]>(
  messages: z.ZodDiscriminatedUnion<Schemas>,
): (frame: Frame) => ParsedFrame<z.output<Schemas[number]>> {
  const knownTypes = new Set<string>(messages.options.map((option) => option.shape.type.value));
  return ({ data, isBinary }) => {
    if (isBinary) return { kind: 'invalid', problem: 'Messages are text frames.' };
    const value = parseJson(data);
    if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') {
      return { kind: 'invalid', problem: 'A message is a JSON object with a type.' };
    }
    if (!knownTypes.has(value.type)) return { kind: 'unknown', type: value.type.slice(0, SHOWN_MAX_LENGTH) };
    const result = messages.safeParse(value);
    if (result.success) return { kind: 'message', message: result.data };
    const issue = result.error.issues[0];
    const where = issue?.path.join('.').slice(0, SHOWN_MAX_LENGTH);
    return { kind: 'invalid', problem: `${value.type}: ${where}: ${issue?.message}` };
  };
}

function parseJson(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}

/** Resolves when all are closed; who does not go is cut off. */
export async function closeAll(sockets: WebSocket[], code: number, reason: string): Promise<void> {
  const closed = sockets.map(
    (socket) => new Promise<void>((resolve) => socket.once('close', () => resolve())),
  );
  for (const socket of sockets) socket.close(code, reason);
  const timer = setTimeout(() => {
    for (const socket of sockets) socket.terminate();
  }, CLOSE_TIMEOUT_MS);
  await Promise.all(closed);
  clearTimeout(timer);
}
