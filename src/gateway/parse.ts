import { AgentMessage } from '../protocol/agent-messages.js';
import type { Frame } from './inbox.js';

export type ParsedFrame =
  | { kind: 'message'; message: AgentMessage }
  | { kind: 'unknown'; type: string }
  | { kind: 'invalid'; problem: string };

const KNOWN_TYPES = new Set<string>(AgentMessage.options.map((option) => option.shape.type.value));
const SHOWN_MAX_LENGTH = 100;

export function parseFrame({ data, isBinary }: Frame): ParsedFrame {
  if (isBinary) return { kind: 'invalid', problem: 'Messages are text frames.' };
  const value = parseJson(data);
  if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') {
    return { kind: 'invalid', problem: 'A message is a JSON object with a type.' };
  }
  if (!KNOWN_TYPES.has(value.type)) return { kind: 'unknown', type: value.type.slice(0, SHOWN_MAX_LENGTH) };
  const result = AgentMessage.safeParse(value);
  if (result.success) return { kind: 'message', message: result.data };
  const issue = result.error.issues[0];
  const where = issue?.path.join('.').slice(0, SHOWN_MAX_LENGTH);
  return { kind: 'invalid', problem: `${value.type}: ${where}: ${issue?.message}` };
}

function parseJson(data: Buffer): unknown {
  try {
    return JSON.parse(data.toString());
  } catch {
    return undefined;
  }
}
