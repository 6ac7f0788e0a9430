import { AppError, type ErrorCode } from '../lib/errors.js';
import type { Changes } from './changes.js';
import type { OpenFile } from './handles.js';
import type { PathOperations } from './path-operations.js';

/** Of a close that was sent, nothing is known after these. Anything else is the node's own word. */
const UNCERTAIN: ReadonlySet<ErrorCode> = new Set<ErrorCode>(['file.failed', 'node.offline']);

export interface ClosingOptions {
  changes: Changes;
  paths: Pick<PathOperations, 'requireSameNode'>;
}

/**
 * After all that was asked of it before. What comes to its name now is a change like any other: who may not write (any
 * more) is refused, and it does not come.
 */
export function closeFile(file: OpenFile, options: ClosingOptions): Promise<void> {
  return closeIfAllowed(file, options, { isAbandoned: false });
}

/** The same for a client that has gone without closing it: what came stays only if nothing newer is under its name. */
export function abandonFile(file: OpenFile, options: ClosingOptions): Promise<void> {
  return closeIfAllowed(file, options, { isAbandoned: true });
}

/** What has been written and was to come to its name at the end is thrown away. */
export function discardFile(file: OpenFile, options: ClosingOptions): Promise<void> {
  return file.queue.run(() => close(file, options, { discard: true, isAbandoned: true }));
}

function closeIfAllowed(
  file: OpenFile,
  options: ClosingOptions,
  { isAbandoned }: { isAbandoned: boolean },
): Promise<void> {
  return file.queue.run(async () => {
    const refusal = file.canWrite ? await refusalOf(file, options) : null;
    await close(file, options, { discard: refusal !== null, isAbandoned });
    if (refusal) throw refusal.error;
  });
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

async function close(
  { client, path, isChanged, comesAtClose, writtenBytes, onChange }: OpenFile,
  { changes }: ClosingOptions,
  how: { discard: boolean; isAbandoned: boolean },
): Promise<void> {
  const isToCome = isChanged && comesAtClose && !how.discard;
  const bytes = writtenBytes;
  if (isChanged && !comesAtClose) changes.add('upload', path, { bytes });
  const isSent = client.isOpen();
  try {
    const { isDropped } = await client.operate('close', how);
    if (isToCome && !isDropped) changes.add('upload', path, { bytes });
  } catch (error) {
    const isRefused = error instanceof AppError && !UNCERTAIN.has(error.code);
    if (isToCome && isSent && !isRefused) changes.add('unconfirmed-upload', path, { bytes });
    throw error;
  } finally {
    if (comesAtClose) onChange();
  }
}
