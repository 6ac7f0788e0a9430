import type { Actor } from '../../lib/actor.js';
import type { FileEntry } from '../../protocol/data-plane.js';
import type { RecordFileChange } from './audit.js';
import { normalisePath, pathIn, ROOT } from './paths.js';
import type { FoundFile } from './schemas.js';
import type { FileTargets } from './targets.js';
import type { PullBody } from './task-schemas.js';
import type { StartedTask, Tasks } from './tasks.js';
import { fileView } from './views.js';

export interface Pulls {
  /** Has the node fetch a file. */
  pull(actor: Actor, serverId: string, body: PullBody): Promise<StartedPull>;
}

export interface StartedPull extends StartedTask {
  /** The file, once it is there. */
  readonly file: Promise<FoundFile>;
}

export function createPulls({
  targets,
  start,
  record,
  pullMaxBytes: sizeBytesMax,
}: {
  targets: FileTargets;
  start: Tasks['start'];
  record: RecordFileChange;
  pullMaxBytes: number;
}): Pulls {
  return {
    async pull(actor, serverId, { url, path: given, name, replace }) {
      const target = await targets.toChange(actor, serverId, 'file.write');
      const { server } = target;
      const directory = normalisePath(given);
      const path = name === undefined ? withSlash(directory) : pathIn(directory, name);
      let pulled: { path: string; entry: FileEntry } | undefined;
      const task = start({
        actor,
        server,
        kind: 'pull',
        rights: ['file.write'],
        async work(options) {
          pulled = await target.work('pull', { url, path, replace, sizeBytesMax }, options);
          const bytes = pulled.entry.sizeBytes;
          const metadata = { url: withoutSecrets(url), path: normalisePath(pulled.path), sizeBytes: bytes };
          await record(actor, server, 'file.pull', metadata);
          return { path: metadata.path, bytes, entries: 1 };
        },
      });
      const file = task.outcome.then(({ path }) => {
        if (!pulled) throw new Error('nothing was pulled');
        return { path, ...fileView(pulled.entry) };
      });
      // Told to whoever waits.
      file.catch(() => {});
      return { ...task, file };
    },
  };
}

function withSlash(directory: string): string {
  return directory === ROOT ? ROOT : `${directory}/`;
}

/** Addresses that are signed have the signature in their query. */
function withoutSecrets(url: string): string {
  const { origin, pathname } = new URL(url);
  return `${origin}${pathname}`;
}
