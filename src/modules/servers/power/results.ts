import type { AgentMessageOf } from '../../../protocol/agent-messages.js';

type CommandResult = AgentMessageOf<'command_result'>;

export interface CommandResults {
  /** The agent's answer to a command that was just sent; null when it does not come in time or the agent leaves. */
  expect(nodeId: string, commandId: string): { answer: Promise<CommandResult | null>; cancel(): void };
  settle(nodeId: string, result: CommandResult): void;
  /** The node's agent has gone: whoever waits for it waits in vain. */
  abandon(nodeId: string): void;
}

/** How long a request is kept open for an agent's answer. */
const ANSWER_TIMEOUT_MS = 30_000;

export function createCommandResults(): CommandResults {
  const waiting = new Map<string, { nodeId: string; settle: (result: CommandResult | null) => void }>();
  return {
    expect(nodeId, commandId) {
      let cancel: () => void = () => {};
      const answer = new Promise<CommandResult | null>((resolve) => {
        const settle = (result: CommandResult | null) => {
          clearTimeout(timer);
          waiting.delete(commandId);
          resolve(result);
        };
        const timer = setTimeout(settle, ANSWER_TIMEOUT_MS, null);
        waiting.set(commandId, { nodeId, settle });
        cancel = () => settle(null);
      });
      return { answer, cancel };
    },
    settle(nodeId, result) {
      const waiter = waiting.get(result.commandId);
      if (waiter?.nodeId === nodeId) waiter.settle(result);
    },
    abandon(nodeId) {
      for (const waiter of [...waiting.values()]) if (waiter.nodeId === nodeId) waiter.settle(null);
    },
  };
}
