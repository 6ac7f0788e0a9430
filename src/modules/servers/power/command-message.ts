import { AppError } from '../../../lib/errors.js';
import { PanelMessage } from '../../../protocol/agent-messages.js';
import { PANEL_FRAME_MAX_BYTES } from '../../../protocol/limits.js';
import type { ServerSpecification } from '../../../protocol/server-specification.js';
import { type PowerVerb, STOP_TIMEOUT_SECONDS } from './actions.js';

/** What an agent is told; one without results is not told the id of the command either. */
export function commandMessage(command: {
  verb: PowerVerb;
  specification: ServerSpecification;
  hasResults: boolean;
  commandId: string;
  timeoutSeconds?: number | undefined;
}): PanelMessage {
  const { verb, specification, hasResults, timeoutSeconds = STOP_TIMEOUT_SECONDS } = command;
  const { serverId, serverUuid } = specification;
  const commandId = hasResults ? { commandId: command.commandId } : {};
  const address = { serverId, serverUuid, suspended: false, ...commandId };
  switch (verb) {
    case 'install':
      return { ...specification, ...commandId, type: 'install_server' };
    case 'start':
      return { ...specification, ...commandId, type: 'start_server' };
    case 'restart':
      return { ...specification, ...commandId, type: 'restart_server' };
    case 'stop':
      return { ...address, type: 'stop_server', timeoutSeconds };
    case 'kill':
      // Documented agents know no kill; asking them to stop is the most that can be said.
      return { ...address, type: hasResults ? 'kill_server' : 'stop_server' };
  }
}

/** Without it the game would run, without the address that its players know. */
export function requireNetworks(message: PanelMessage, hasNetworks: boolean): void {
  if (hasNetworks || !('network' in message) || !message.network) return;
  throw new AppError(
    'agent.rejected',
    'The agent of this node is too old for servers with an address of their own: update it.',
  );
}

/** An agent drops what is too long for it and says nothing: values can make a command longer than any template. */
export function requireAcceptable(message: PanelMessage): void {
  const issue = PanelMessage.safeParse(message).error?.issues[0];
  const isTooLarge = Buffer.byteLength(JSON.stringify(message)) > PANEL_FRAME_MAX_BYTES;
  if (!issue && !isTooLarge) return;
  const problem = issue ? `${issue.path.join('.')}: ${issue.message}` : 'together they are too long';
  throw new AppError('server.variable_invalid', `The values of the variables do not fit: ${problem}`);
}
