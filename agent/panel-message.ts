import type { Logger } from 'pino';
import { PanelMessage } from '../src/protocol/agent-messages.js';

export type ReceivedMessage =
  | { kind: 'message'; message: PanelMessage }
  /** @property commandId Of the command that it was to be, which must not be waited for. */
  | { kind: 'invalid'; commandId: string | null };

const PROBLEMS_SHOWN_MAX = 5;
const COMMAND_ID_PATTERN = /^[\w-]{1,64}$/;

/** What the panel said, checked. What cannot be understood is logged. */
export function parsePanelMessage(text: string, log: Logger): ReceivedMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    log.warn('the panel sent a frame that is not JSON');
    return { kind: 'invalid', commandId: null };
  }
  const parsed = PanelMessage.safeParse(value);
  if (parsed.success) return { kind: 'message', message: parsed.data };
  const problems = parsed.error.issues
    .map(({ path, message }) => `${path.join('.')}: ${message}`)
    .slice(0, PROBLEMS_SHOWN_MAX);
  const type = textOf(value, 'type')?.slice(0, 64);
  log.warn({ type, problems }, 'the panel sent a message that this agent does not know');
  const commandId = textOf(value, 'commandId');
  return {
    kind: 'invalid',
    commandId: commandId !== null && COMMAND_ID_PATTERN.test(commandId) ? commandId : null,
  };
}

function textOf(value: unknown, name: string): string | null {
  const found = new Map(Object.entries(value ?? {})).get(name);
  return typeof found === 'string' ? found : null;
}
