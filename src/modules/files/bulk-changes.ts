import type { Actor } from '../../lib/actor.js';
import { AppError, type ErrorCode } from '../../lib/errors.js';
import type { RecordFileChange } from './audit.js';
import { normaliseChangedPath } from './paths.js';
import type { CopyFileBody } from './schemas.js';
import type { FileTargets } from './targets.js';
import { type Watch, whileHeld } from './watch.js';

/** What is done to files, and to directories with everything in them. */
export interface BulkChanges {
  copy(actor: Actor, serverId: string, body: CopyFileBody): Promise<{ bytes: number }>;
  remove(actor: Actor, serverId: string, path: string): Promise<void>;
}

/** What the node refuses before it begins. */
const NOT_BEGUN: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'file.not_found',
  'file.exists',
  'file.not_directory',
  'file.is_directory',
  'file.outside',
  'file.name_invalid',
  'server.not_installed',
  'node.files_unavailable',
]);

export function createBulkChanges({
  targets,
  watch,
  record,
}: {
  targets: FileTargets;
  watch: Watch;
  record: RecordFileChange;
}): BulkChanges {
  return {
    async copy(actor, serverId, { from: givenFrom, to: givenTo }) {
      await targets.toRead(actor, serverId);
      const { server, operate } = await targets.toChange(actor, serverId, 'file.write');
      const from = normaliseChangedPath(givenFrom, 'from');
      const to = normaliseChangedPath(givenTo, 'to');
      const hold = watch.hold({ actor, server, rights: ['file.read', 'file.write'] });
      const copy = () => whileHeld(hold, (options) => operate('copy', { from, to }, options));
      const { bytes } = await copy().catch(async (error: unknown) => {
        if (mayBeHalfDone(error)) await record(actor, server, 'file.copy', { from, to, isComplete: false });
        throw error;
      });
      await record(actor, server, 'file.copy', { from, to, sizeBytes: bytes });
      return { bytes };
    },

    async remove(actor, serverId, given) {
      const { server, operate } = await targets.toChange(actor, serverId, 'file.delete');
      const path = normaliseChangedPath(given);
      const hold = watch.hold({ actor, server, rights: ['file.delete'] });
      const removal = () =>
        whileHeld(hold, (options) => operate('remove', { path, recursive: true }, options));
      await removal().catch(async (error: unknown) => {
        if (mayBeHalfDone(error)) await record(actor, server, 'file.delete', { path, isComplete: false });
        throw error;
      });
      await record(actor, server, 'file.delete', { path });
    },
  };
}

/** Of what goes through a directory, the part that was done before an error stays: it must not go unrecorded. */
function mayBeHalfDone(error: unknown): boolean {
  return !(error instanceof AppError && NOT_BEGUN.has(error.code));
}
