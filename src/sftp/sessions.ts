import type { Session, SFTPWrapper, Connection as SshConnection } from 'ssh2';

/** Of one connection at once. */
const CHANNELS_MAX = 8;
/** Sessions that came to nothing: ssh2 keeps something of each. */
const UNUSED_MAX = 100;
/** Whoever takes less in one packet would have an answer cut into thousands; with none ssh2 cuts for ever. */
const PACKET_MIN_BYTES = 1024;

/**
 * Only the subsystem `sftp` is served, once in each session: ssh2 refuses what has no listener by itself, which is
 * programs, shells, terminals, variables, forwarding, and other subsystems.
 */
export function acceptSessions(
  ssh: SshConnection,
  {
    isEnding,
    onSftp,
    onTooMany,
  }: { isEnding: () => boolean; onSftp: (sftp: SFTPWrapper) => void; onTooMany: (reason: string) => void },
): void {
  let open = 0;
  let unused = 0;
  ssh.on('session', (accept, reject) => {
    if (open >= CHANNELS_MAX || isEnding()) {
      reject();
      return;
    }
    const session = accept();
    let isUsed = false;
    open += 1;
    session.once('close', () => {
      open -= 1;
      if (!isUsed) unused += 1;
      if (unused > UNUSED_MAX) onTooMany('It opened too many sessions for nothing.');
    });
    session.on('sftp', (acceptSftp, rejectSftp) => {
      if (isUsed || !takesPackets(session)) {
        // Not there when the client wants no answer, whatever the types say.
        rejectSftp?.();
        return;
      }
      isUsed = true;
      onSftp(acceptSftp());
    });
  });
}

/** Of ssh2's session, what it does not show. */
function takesPackets(session: Session): boolean {
  const { _chanInfo: info } = session as unknown as { _chanInfo: { outgoing: { packetSize: number } } };
  return info.outgoing.packetSize >= PACKET_MIN_BYTES;
}
