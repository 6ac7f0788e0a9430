import { z } from 'zod';
import { Id } from '../../../lib/schemas.js';

export const TransferServerBody = z.strictObject({ targetNodeId: Id });

export const TransferredServer = z.object({
  id: z.string(),
  name: z.string(),
  /** The names of the nodes. */
  previousNode: z.string(),
  currentNode: z.string(),
});
export type TransferredServer = z.output<typeof TransferredServer>;

export const TransferResponse = z.object({
  success: z.literal(true),
  message: z.string(),
  server: TransferredServer,
});
