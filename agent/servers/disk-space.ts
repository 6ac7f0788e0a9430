import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Logger } from 'pino';
import { createMeasure } from '../files/quota/measure.js';
import { openProjectQuotas } from '../files/quota/project-quota.js';
import { createQuota, type Quota } from '../files/quota/quota.js';
import type { ServerDirectories } from './directories.js';
import type { DiskUsage } from './disk-limit.js';

export interface DiskSpace {
  quota: Quota;
  usage: DiskUsage;
  /** The file system itself holds servers to their limits. */
  isHeldByKernel: boolean;
  /** The server is removed from this node. */
  forget(uuid: string): void;
}

export interface DiskSpaceOptions {
  dataDir: string;
  directories: ServerDirectories;
  log: Logger;
}

const MEGABYTE = 1024 * 1024;

/** What servers have on the disk and may have, in one place for all who ask. */
export async function openDiskSpace({ dataDir, directories, log }: DiskSpaceOptions): Promise<DiskSpace> {
  const projects = await openProjectQuotas({
    directory: nearestExisting(directories.root),
    tablePath: join(dataDir, 'projects.json'),
    log,
  });
  const quota = createQuota(log, createMeasure({ projects }));
  return {
    quota,
    usage: {
      last: quota.lastUsage,
      measure: (uuid) => quota.measure(uuid, directories.pathOf(uuid)),
      async hold(uuid, diskMb) {
        try {
          await projects?.apply(uuid, directories.pathOf(uuid), diskMb > 0 ? diskMb * MEGABYTE : null);
        } catch (error) {
          log.warn({ error, uuid }, 'the file system does not hold a server to its disk limit');
        }
      },
    },
    isHeldByKernel: projects !== null,
    forget: (uuid) => projects?.forget(uuid),
  };
}

function nearestExisting(path: string): string {
  return existsSync(path) ? path : nearestExisting(dirname(path));
}
