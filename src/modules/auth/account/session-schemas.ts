import { z } from 'zod';
import { Id, success, successPage, Timestamp } from '../../../lib/schemas.js';

export const SessionParams = z.object({ sessionId: Id });

const SessionView = z.object({
  id: z.string(),
  /** The one that this request was made with. */
  isCurrent: z.boolean(),
  ipAddress: z.string().nullable(),
  userAgent: z.string().nullable(),
  createdAt: Timestamp,
  /** When it was last refreshed. */
  lastUsedAt: Timestamp,
  expiresAt: Timestamp,
});
export type SessionView = z.output<typeof SessionView>;

export const SessionsResponse = successPage(SessionView);
export const EndedResponse = success(z.object({ ended: z.int() }));
