import type { FileCallOptions, FilePlane } from '../../gateway/files.js';
import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { Permission } from '../../lib/permissions.js';
import type { FileInput, FileOperation, FileOutput } from '../../protocol/data-plane.js';
import type { FileWork, WorkInput, WorkOutput, WorkProgress } from '../../protocol/file-works.js';
import type { AccessibleServer, ServerAccess } from '../servers/access.js';
import { parentOf, ROOT } from './paths.js';

export type FileRight = Extract<Permission, `file.${string}`>;

/** A server whose files somebody may work with. */
export interface FileTarget {
  server: AccessibleServer;
  operate<Name extends FileOperation>(
    name: Name,
    input: FileInput<Name>,
    options?: FileCallOptions,
  ): Promise<FileOutput<Name>>;
  work<Name extends FileWork>(
    name: Name,
    input: WorkInput<Name>,
    options: WorkOptions,
  ): Promise<WorkOutput<Name>>;
  /** Makes the directories that lead to a path. */
  makeParents(path: string): Promise<void>;
}

export interface WorkOptions extends FileCallOptions {
  onProgress?: (progress: WorkProgress) => void;
}

export interface FileTargets {
  toRead(actor: Actor, serverId: string): Promise<FileTarget>;
  /** Throws `server.busy` while somebody else works on all files of the server. */
  toChange(actor: Actor, serverId: string, permission: 'file.write' | 'file.delete'): Promise<FileTarget>;
}

export interface FileTargetsOptions {
  access: Pick<ServerAccess, 'authorise'>;
  plane: FilePlane;
}

/** The one place where rights to files are asked for. */
export function createFileTargets({ access, plane }: FileTargetsOptions): FileTargets {
  async function find(actor: Actor, serverId: string, permission: FileRight): Promise<FileTarget> {
    const server = await access.authorise(actor, serverId, permission);
    const { nodeId, uuid } = server;
    const operate: FileTarget['operate'] = (name, input, options) =>
      plane.operate(nodeId, uuid, name, input, options);
    return {
      server,
      operate,
      work: (name, input, options) => plane.work(nodeId, uuid, name, input, options),
      async makeParents(path) {
        const parent = parentOf(path);
        if (parent !== ROOT) await operate('make-directory', { path: parent, parents: true });
      },
    };
  }

  return {
    toRead: (actor, serverId) => find(actor, serverId, 'file.read'),
    async toChange(actor, serverId, permission) {
      const target = await find(actor, serverId, permission);
      requireUnoccupied(target.server);
      return target;
    },
  };
}

function requireUnoccupied({ status }: AccessibleServer): void {
  if (status !== 'installing' && status !== 'transferring') return;
  const doing = status === 'installing' ? 'installed' : 'transferred';
  throw new AppError(
    'server.busy',
    `The server is being ${doing}. Its files can be changed again when that is done.`,
  );
}
