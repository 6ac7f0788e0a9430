import type { Actor } from '../../lib/actor.js';
import { AppError } from '../../lib/errors.js';
import type { ArchiveFormat } from '../../protocol/file-works.js';
import type { RecordFileChange } from './audit.js';
import { normaliseChangedPath, normalisePath, parentOf, pathIn } from './paths.js';
import type { FileTargets } from './targets.js';
import type { CompressBody, DecompressBody } from './task-schemas.js';
import type { StartedTask, Tasks } from './tasks.js';

export interface Archives {
  /** Takes `file.read` and `file.write`: what is in an archive is read. */
  compress(actor: Actor, serverId: string, body: CompressBody): Promise<StartedTask>;
  decompress(actor: Actor, serverId: string, body: DecompressBody): Promise<StartedTask>;
}

const ENDINGS: readonly (readonly [string, ArchiveFormat])[] = [
  ['.tar.gz', 'tar.gz'],
  ['.tgz', 'tar.gz'],
  ['.zip', 'zip'],
  ['.tar.zst', 'tar.zst'],
  ['.tar', 'tar'],
];
/** More would fill the audit log, not explain more. */
const RECORDED_PATHS_MAX = 100;

export function createArchives({
  targets,
  start,
  record,
}: {
  targets: FileTargets;
  start: Tasks['start'];
  record: RecordFileChange;
}): Archives {
  return {
    async compress(actor, serverId, { paths: given, archiveName, targetPath, format: wanted, replace }) {
      await targets.toRead(actor, serverId);
      const target = await targets.toChange(actor, serverId, 'file.write');
      const { server } = target;
      const paths = [...new Set(given.map(normalisePath))];
      const to = pathIn(normalisePath(targetPath), archiveName);
      if (paths.includes(to)) {
        throw new AppError('request.invalid', 'archiveName: is of a file that is to go into the archive');
      }
      const format = wanted ?? formatOf(archiveName);
      return start({
        actor,
        server,
        kind: 'compress',
        rights: ['file.read', 'file.write'],
        async work(options) {
          const { entry, entries } = await target.work('compress', { paths, to, format, replace }, options);
          const bytes = entry.sizeBytes;
          const recorded = { paths: paths.slice(0, RECORDED_PATHS_MAX), pathCount: paths.length };
          await record(actor, server, 'file.compress', { ...recorded, archivePath: to, sizeBytes: bytes });
          return { path: to, bytes, entries };
        },
      });
    },

    async decompress(actor, serverId, { archivePath, targetPath }) {
      const target = await targets.toChange(actor, serverId, 'file.write');
      const { server } = target;
      const path = normaliseChangedPath(archivePath, 'archivePath');
      const to = targetPath === undefined ? parentOf(path) : normalisePath(targetPath);
      return start({
        actor,
        server,
        kind: 'decompress',
        rights: ['file.write'],
        async work(options) {
          const { entries, bytes } = await target.work('extract', { path, to }, options);
          const metadata = { archivePath: path, targetPath: to, entries, sizeBytes: bytes };
          await record(actor, server, 'file.decompress', metadata);
          return { path: to, bytes, entries };
        },
      });
    },
  };
}

function formatOf(name: string): ArchiveFormat {
  const [, format] = ENDINGS.find(([ending]) => name.toLowerCase().endsWith(ending)) ?? [];
  if (format) return format;
  const endings = ENDINGS.map(([ending]) => ending).join(', ');
  throw new AppError(
    'request.invalid',
    `archiveName: must end in one of ${endings}, unless the format is given`,
  );
}
