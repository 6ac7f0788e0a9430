import type { FileServer } from './contract.js';
import { FileError } from './errors.js';
import { createPendingFiles, type PendingFiles } from './handles/pending.js';
import type { Owner } from './owner.js';
import type { Beneath } from './paths/openat2.js';
import type { Root } from './paths/walk.js';
import type { Account, Quota } from './quota/quota.js';

/** What every operation on a server's files needs. */
export interface ServerFiles {
  root: Root;
  limitBytes: number | null;
  owner: Owner | null;
  account: Account;
  pending: PendingFiles;
}

export interface ServerFilesOptions {
  find(serverUuid: string): FileServer | null;
  owner: Owner | null;
  quota: Quota;
  /** Of each server as long as it is here. */
  pending: Map<string, PendingFiles>;
  beneath?: Beneath | null;
}

export function createServerFiles({ find, owner, quota, pending, beneath = null }: ServerFilesOptions) {
  return (serverUuid: string): ServerFiles => {
    const server = find(serverUuid);
    if (server === null) throw new FileError('server.not_found', 'There is no such server on this node.');
    const { directory, limitBytes } = server;
    const root = { path: directory, beneath };
    const account = quota.account(serverUuid, server);
    const pendingFiles = pending.get(serverUuid) ?? createPendingFiles();
    pending.set(serverUuid, pendingFiles);
    return { root, limitBytes, owner, account, pending: pendingFiles };
  };
}
