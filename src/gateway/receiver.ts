import { setTimeout as delay } from 'node:timers/promises';
import { isDatabaseUnavailable } from '../lib/database-errors.js';
import type { ErrorCode } from '../lib/errors.js';
import type { Log } from '../lib/log.js';
import { createTokenBucket } from '../lib/token-bucket.js';
import type { ParsedFrame } from '../lib/web-sockets.js';
import type { AgentMessage, AgentMessageOf } from '../protocol/agent-messages.js';
import type { Admitted } from './admission.js';
import type { AgentHandlers } from './handlers.js';

/** While the database is away what an agent says is tried again, and the agent has to wait. */
const RETRY_DELAY_MS = 500;
/** Answers to what was not understood, and lines about what failed. */
const COMPLAINTS = { capacity: 20, refillPerSecond: 1 };
const FAILURES = { capacity: 5, refillPerSecond: 0.1 };

export interface Receiver {
  /** Does what follows from a frame. Never rejects. */
  receive(parsed: ParsedFrame<AgentMessage>): Promise<void>;
}

/** @param options.isClosed Whether the connection has ended: then nothing is tried again. */
export function createReceiver(options: {
  sender: Admitted;
  handlers: AgentHandlers;
  log: Log;
  isClosed: () => boolean;
}): Receiver {
  const { sender, handlers, log, isClosed } = options;
  const { connection, ownership, violations } = sender;
  const { nodeId } = connection;
  const complaints = createTokenBucket(COMPLAINTS);
  const failures = createTokenBucket(FAILURES);

  function complain(code: ErrorCode, message: string): void {
    if (complaints.take()) connection.send({ type: 'error', code, message });
  }

  async function handle(message: AgentMessage): Promise<void> {
    if ('serverId' in message && !(await ownership.owns(message.serverId))) {
      violations.count('a server that is not on its node', {
        serverId: message.serverId,
        type: message.type,
      });
      return;
    }
    await dispatch(message.type, message);
  }

  async function dispatch<Type extends AgentMessage['type']>(
    type: Type,
    message: AgentMessageOf<Type>,
  ): Promise<void> {
    await handlers[type](sender, message);
  }

  async function handleInTheEnd(message: AgentMessage): Promise<void> {
    while (!isClosed()) {
      try {
        return await handle(message);
      } catch (error) {
        if (failures.take()) {
          log.error({ nodeId, type: message.type, err: error }, 'could not take a message of an agent');
        }
        if (!isDatabaseUnavailable(error)) return;
      }
      await delay(RETRY_DELAY_MS, undefined, { ref: false });
    }
  }

  return {
    async receive(parsed) {
      if (parsed.kind === 'message') {
        await handleInTheEnd(parsed.message);
      } else if (parsed.kind === 'unknown') {
        complain('gateway.type_unknown', `Unknown message type: ${parsed.type}`);
      } else {
        violations.count('a message that is not valid', { problem: parsed.problem });
        complain('gateway.frame_invalid', parsed.problem);
      }
    },
  };
}
