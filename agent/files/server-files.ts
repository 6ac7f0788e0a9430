import { FileError } from './errors.js';
import type { Account, Quota } from './quota.js';
import type { Owner } from './sandbox.js';
import type { FileServer } from './service.js';

/** What every operation on a server's files needs. */
export interface ServerFiles {
  root: string;
  limitBytes: number | null;
  owner: Owner | null;
  account: Account;
}

export interface ServerFilesOptions {
  find(serverUuid: string): FileServer | null;
  owner: Owner | null;
  quota: Quota;
}

export function createServerFiles({ find, owner, quota }: ServerFilesOptions) {
  return (serverUuid: string): ServerFiles => {
    const server = find(serverUuid);
    if (server === null) throw new FileError('server.not_found', 'There is no such server on this node.');
    const { directory, limitBytes } = server;
    return { root: directory, limitBytes, owner, account: quota.account(serverUuid, server) };
  };
}
