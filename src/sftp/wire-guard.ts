import type { Socket } from 'node:net';
import type { Connection as SshConnection } from 'ssh2';

const GLOBAL_REQUEST = 80;
const CHANNEL_WINDOW_ADJUST = 93;
const CHANNEL_DATA = 94;
/** Where the first letter of the name of a global request is, and what it becomes. */
const NAME_LENGTH_AT = 1;
const NAME_AT = 5;
const UNKNOWN = '?'.charCodeAt(0);
/** While the client does not take what was sent to it. */
const MESSAGES_MAX = 1000;

/** Of ssh2's protocol, what it does not show. */
interface Protocol {
  _onPayload(payload: Buffer): unknown;
}

/**
 * Looks at every message of a client, from the first exchange of keys on, before ssh2 does: ssh2 keeps the answers to
 * its messages without limit, and reads the keys in requests of clients to a server, where some take seconds.
 * @param onFlood Called when a client asks on and on and takes no answers.
 */
export function guardWire(ssh: SshConnection, socket: Socket, onFlood: () => void): void {
  const { _protocol: protocol } = ssh as unknown as { _protocol: Protocol };
  const pass = protocol._onPayload;
  let untaken = 0;

  function isFlood(type: number | undefined): boolean {
    if (!socket.writableNeedDrain) untaken = 0;
    // What comes in channels is counted there.
    else if (type !== CHANNEL_DATA && type !== CHANNEL_WINDOW_ADJUST) untaken += 1;
    return untaken > MESSAGES_MAX;
  }

  protocol._onPayload = (payload) => {
    const [type] = payload;
    if (isFlood(type)) {
      onFlood();
      return undefined;
    }
    if (type === GLOBAL_REQUEST) forgetName(payload);
    return pass(payload);
  };
}

/** None of them is served: one that ssh2 does not know it refuses without looking into it. */
function forgetName(payload: Buffer): void {
  if (payload.length > NAME_AT && payload.readUInt32BE(NAME_LENGTH_AT) > 0) payload[NAME_AT] = UNKNOWN;
}
