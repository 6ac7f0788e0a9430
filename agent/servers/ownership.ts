import type { ServerDirectories } from './directories.js';
import type { Status } from './status.js';

/**
 * After a script that ran as root, its files are the servers' user's again before anything else uses them. That
 * this is to be done is written down before the script begins, so that neither its end nor the agent's matters.
 */
export async function settleOwnership(status: Status, directories: ServerDirectories): Promise<void> {
  if (!status.record.isOwnershipUnsettled) return;
  await directories.claim(status.record.uuid);
  status.remember({ isOwnershipUnsettled: false });
}
