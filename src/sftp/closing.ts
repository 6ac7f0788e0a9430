import type { Changes } from './changes.js';
import type { OpenFile } from './handles.js';
import type { PathOperations } from './path-operations.js';

/** What was written is brought to the disk first. */
const CLOSE_TIMEOUT_MS = 60_000;

export interface ClosingOptions {
  changes: Changes;
  paths: Pick<PathOperations, 'requireSameNode'>;
}

/**
 * After all that was asked of it before. What comes to its name now is a change like any other: who may not write (any
 * more) is refused, and it does not come.
 */
export function closeFile(file: OpenFile, options: ClosingOptions): Promise<void> {
  return file.queue.run(async () => {
    const refusal = file.canWrite ? await refusalOf(file, options) : null;
    await close(file, refusal !== null, options);
    if (refusal) throw refusal.error;
  });
}

/** What has been written and was to come to its name at the end is thrown away. */
export function discardFile(file: OpenFile, options: ClosingOptions): Promise<void> {
  return file.queue.run(() => close(file, true, options));
}

async function refusalOf(
  { nodeId }: OpenFile,
  { paths }: ClosingOptions,
): Promise<{ error: unknown } | null> {
  try {
    await paths.requireSameNode(nodeId)('file.write');
    return null;
  } catch (error) {
    return { error };
  }
}

async function close(file: OpenFile, discard: boolean, { changes }: ClosingOptions): Promise<void> {
  const { client, path, isChanged, comesAtClose, writtenBytes } = file;
  const isKept = isChanged && !(discard && comesAtClose);
  if (isKept && !comesAtClose) changes.add('upload', path, { bytes: writtenBytes });
  await client.operate('close', { discard }, { signal: AbortSignal.timeout(CLOSE_TIMEOUT_MS) });
  if (isKept && comesAtClose) changes.add('upload', path, { bytes: writtenBytes });
}
