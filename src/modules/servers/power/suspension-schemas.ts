import { z } from 'zod';
import { success, Timestamp } from '../../../lib/schemas.js';
import { ClientServerState } from '../../../protocol/client-messages.js';

const REASON_MAX_LENGTH = 500;

export const SuspendServerBody = z
  .strictObject({ reason: z.string().trim().min(1).max(REASON_MAX_LENGTH).optional() })
  .nullish();

export const Suspension = z.object({
  id: z.string(),
  /** What it is returned to: a server that is still going down gets there a moment later. */
  status: ClientServerState,
  suspendedAt: Timestamp.nullable(),
  suspendedByUserId: z.string().nullable(),
  suspensionReason: z.string().nullable(),
});
export type Suspension = z.output<typeof Suspension>;

export const SuspensionResponse = success(Suspension);
