import { credentialId, hasPermission, type UserActor } from '../lib/actor.js';
import { AppError } from '../lib/errors.js';
import type { Permission } from '../lib/permissions.js';
import type { AccessibleServer, ServerAccess } from '../modules/servers/access.js';

/** How long a check is believed. */
const CHECK_VALID_MS = 1000;

export type FileRight = Extract<Permission, `file.${string}`>;

/** Who is signed in, and what about. */
export interface Caller {
  readonly serverId: string;
  readonly userId: string;
  /** As he signed in: for what is written down about him, not for what he may do. */
  readonly actor: UserActor;
  /** When what he signed in with counts no more, whatever happens; infinity when that is not known. */
  readonly expiresAtMs: number;
  /** Of the session, API key or SSH key that he signed in with. */
  readonly credentialId: string;
  /**
   * The server, if the caller may do this to its files now. Throws `auth.invalid_token` when what he signed in with
   * has ended, else as `ServerAccess.authorise`, and `server.busy` while its files are in other hands.
   */
  authorise(right: FileRight): Promise<AccessibleServer>;
  /** Where the server was when he last was allowed something. */
  place(): Pick<AccessibleServer, 'nodeId' | 'uuid'> | null;
  /** Something may have changed: what was found before does not count. */
  forget(): void;
}

interface Check {
  checkedAtMs: number;
  found: Promise<AccessibleServer>;
}

export function createCaller({
  access,
  actor,
  serverId,
  expiresAtMs,
  identify,
}: {
  access: ServerAccess;
  actor: UserActor;
  serverId: string;
  expiresAtMs: number;
  /** The actor with the rights that he has now. */
  identify: () => Promise<UserActor>;
}): Caller {
  const checks = new Map<FileRight, Check>();
  let place: AccessibleServer | null = null;

  async function check(right: FileRight): Promise<AccessibleServer> {
    const current = await identify();
    const server = await access.authorise(current, serverId, right);
    requireAvailable(current, server);
    place = server;
    return server;
  }

  return {
    serverId,
    actor,
    expiresAtMs,
    userId: actor.userId,
    credentialId: credentialId(actor),
    place: () => place,
    authorise(right) {
      const nowMs = Date.now();
      const known = checks.get(right);
      if (known && nowMs - known.checkedAtMs < CHECK_VALID_MS) return known.found;
      const found = check(right);
      checks.set(right, { checkedAtMs: nowMs, found });
      return found;
    },
    forget: () => checks.clear(),
  };
}

/** Stricter than other doors, where some of a suspended server can be read: a session would go on for days. */
function requireAvailable(actor: UserActor, server: AccessibleServer): void {
  if (server.deletionRequestedAt) throw new AppError('server.being_deleted');
  if (server.suspendedAt && !hasPermission(actor, 'server.suspend')) throw new AppError('server.suspended');
  if (server.status === 'installing' || server.status === 'transferring') {
    throw new AppError(
      'server.busy',
      `The server is ${server.status} at the moment: its files can be reached when that is done.`,
    );
  }
}
