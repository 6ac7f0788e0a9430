import { z } from 'zod';
import { Id, queryInteger } from '../../lib/schemas.js';

const LIMIT_DEFAULT = 100;
const LIMIT_MAX = 1000;
const ACTION_MAX_LENGTH = 64;
const RESOURCE_MAX_LENGTH = 64;
const TIME_MAX_LENGTH = 64;

const Time = z.iso.datetime({ offset: true }).max(TIME_MAX_LENGTH);

const EntryId = z
  .string()
  .regex(/^\d{1,18}$/)
  .meta({ pattern: undefined });

const Paging = {
  limit: queryInteger({ min: 1, max: LIMIT_MAX }).default(LIMIT_DEFAULT),
  before: z
    .union([EntryId, Time], 'Invalid input: expected the id of an entry or a time')
    .optional()
    .describe('Only entries before this one, or before this time. `nextBefore` gives the page after.'),
};

const Filters = {
  userId: Id.optional(),
  action: z
    .string()
    .max(ACTION_MAX_LENGTH)
    .regex(/^[a-z0-9_.-]+(\.\*)?$/, 'must be an action, or the beginning of some: server.*')
    .optional()
    .describe('`server.start`, or `server.*` for all of them.'),
  resourceType: z.string().min(1).max(RESOURCE_MAX_LENGTH).optional(),
  resourceId: Id.optional(),
  from: Time.optional().describe('Not older than this.'),
  to: Time.optional().describe('Older than this.'),
};

export const AuditLogQuery = z.strictObject({ ...Paging, ...Filters, serverId: Id.optional() });
export type AuditLogQuery = z.output<typeof AuditLogQuery>;

export const ActivityParams = z.object({ serverId: Id });
export const ActivityQuery = z.strictObject({ ...Paging, ...Filters });
export type ActivityQuery = z.output<typeof ActivityQuery>;

export const AuditLogEntry = z
  .object({
    id: z.string(),
    userId: z.string().nullable().describe('Null: the panel itself, or somebody who was not signed in.'),
    username: z.string().nullable().describe('The name at that time.'),
    apiKeyId: z.string().nullable().describe('Null: not done with an API key.'),
    action: z.string(),
    resourceType: z.string(),
    resourceId: z.string().nullable(),
    serverId: z.string().nullable().describe('The server that it is about, if it is about one.'),
    metadata: z.record(z.string(), z.unknown()).describe('Before and after, and what else is worth knowing.'),
    ipAddress: z.string().nullable(),
    userAgent: z.string().nullable(),
    createdAt: z.string().describe('ISO 8601; with microseconds where there are any.'),
  })
  .meta({ id: 'AuditLogEntry' });
export type AuditLogEntry = z.output<typeof AuditLogEntry>;

export const AuditLogResponse = z.object({
  success: z.literal(true),
  data: z.array(AuditLogEntry),
  pagination: z.object({
    limit: z.int(),
    nextBefore: z
      .string()
      .nullable()
      .describe('What to send as `before` for the next page; null: there is none.'),
  }),
});
