import type { Works, WorksOptions } from '../works.js';
import { compressPaths } from './compressing.js';
import { extractArchive } from './extracting.js';

/** Archives of a server's files, made and unpacked where they are. */
export function createArchiveWorks({
  filesOf,
  leftovers,
}: WorksOptions): Pick<Works, 'compress' | 'extract'> {
  return {
    compress: (serverUuid, request, call) =>
      leftovers.during(serverUuid, () => compressPaths(filesOf(serverUuid), request, call)),
    extract: (serverUuid, request, call) =>
      leftovers.during(serverUuid, () => extractArchive(filesOf(serverUuid), request, call)),
  };
}
