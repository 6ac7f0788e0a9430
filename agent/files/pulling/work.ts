import { makeIfMissing } from '../changing/making.js';
import { checkTarget } from '../changing/target.js';
import { writeFile } from '../changing/writing.js';
import { FileError } from '../errors.js';
import { parseFilePath, parsePath } from '../paths/paths.js';
import { walkToParent, withPlace } from '../paths/walk.js';
import type { Works, WorksOptions } from '../works.js';
import { readBody } from './body.js';
import { failed } from './failures.js';
import { createAddressCheck } from './ip-addresses.js';
import { nameOf } from './naming.js';
import { fetchAnswer } from './request.js';
import { parseUrl, type Resolve, resolveBySystem } from './urls.js';

export interface PullSettings {
  /** In CIDR notation: of them files are fetched though they are not public. Users of all servers can reach them then. */
  allowedNetworks?: string[];
  resolve?: Resolve;
  limits?: Partial<typeof LIMITS>;
}

const LIMITS = {
  connectTimeoutMs: 10_000,
  idleTimeoutMs: 30_000,
  totalTimeoutMs: 3600_000,
};

/**
 * By Node's own client rather than a package: it comes with the agent, which is one file, and what must not happen here is
 * in two places of our own, `findAddresses` and `followRedirect`, and not in somebody's defaults.
 */
export function createPullWork({ filesOf, leftovers, pull = {} }: WorksOptions): Works['pull'] {
  const { allowedNetworks = [], resolve = resolveBySystem } = pull;
  const limits = { ...LIMITS, ...pull.limits };
  const isAllowed = createAddressCheck(allowedNetworks);

  return async (serverUuid, { url, path, replace, sizeBytesMax }, call) => {
    const files = filesOf(serverUuid);
    const target = parseTarget(path);
    const start = parseUrl(url);
    if (!target.isDirectory) await checkTarget(files.root, target.names, { ...files, replace });
    return await withDeadline(limits.totalTimeoutMs, call.signal, async (signal) => {
      const answer = await fetchAnswer(start, { ...limits, resolve, isAllowed, signal });
      const names = target.isDirectory ? withName(path, nameOf(answer)) : target.names;
      let totalBytes: number | null = null;
      const report = (doneBytes: number) => call.report({ doneBytes, totalBytes, doneEntries: 0 });
      const body = readBody(answer.response, { ...limits, sizeBytesMax, signal, onProgress: report });
      totalBytes = body.sizeBytes;
      report(0);
      try {
        const place = walkToParent(files.root, names, (parent, name) => makeIfMissing(parent, name, files));
        const writing = { ...files, replace, sizeBytes: body.sizeBytes, signal };
        const entry = await withPlace(place, (found) =>
          leftovers.during(serverUuid, () => writeFile(found, body.stream, writing)),
        );
        return { path: `/${names.join('/')}`, entry };
      } finally {
        // Also when nothing of it was read.
        answer.response.destroy();
      }
    });
  };
}

function parseTarget(path: string): { isDirectory: boolean; names: string[] } {
  const isDirectory = /(^|\/)\.?$/.test(path);
  return { isDirectory, names: isDirectory ? parsePath(path) : parseFilePath(path) };
}

function withName(directory: string, name: string | null): string[] {
  if (name === null) throw failed('The address does not say what the file is called: name it in the path.');
  return parseFilePath(`${directory}/${name}`);
}

async function withDeadline<Result>(
  timeoutMs: number,
  outer: AbortSignal,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> {
  const deadline = new AbortController();
  const late = failed(`It took longer than ${Math.ceil(timeoutMs / 60_000)} minutes.`);
  const timer = setTimeout(() => deadline.abort(late), timeoutMs);
  try {
    return await work(AbortSignal.any([outer, deadline.signal]));
  } catch (error) {
    if (outer.aborted) throw new FileError('file.failed', 'The transfer was stopped.', { cause: error });
    throw deadline.signal.aborted ? late : error;
  } finally {
    clearTimeout(timer);
  }
}
