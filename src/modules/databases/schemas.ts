import { z } from 'zod';
import { Id, success, successPage, Timestamp } from '../../lib/schemas.js';
import { isReservedName } from './names.js';

/** Of MySQL's column for it, in the versions where it is shortest. */
const REMOTE_MAX_LENGTH = 60;

export const DatabaseParams = z.object({ serverId: Id, databaseId: Id });

export const CreateDatabaseBody = z.strictObject({
  hostId: Id.optional().meta({ description: 'Left out: the host with the fewest databases that has room.' }),
  name: z
    .string()
    .regex(/^[A-Za-z0-9_]{1,48}$/, 'must be 1 to 48 letters, digits and underscores')
    .refine((name) => !isReservedName(name), 'is reserved by the database server'),
  remote: z
    .string()
    .max(REMOTE_MAX_LENGTH)
    .regex(/^[A-Za-z0-9%:]([A-Za-z0-9._%:/-]*[A-Za-z0-9%:])?$/, 'must be a host, an address, or % for any')
    .transform((remote) => remote.toLowerCase())
    .default('%')
    .meta({
      description:
        'From where its user may connect, as MySQL writes it: `%`, `10.0.0.%`. PostgreSQL: only `%`.',
    }),
});
export type CreateDatabaseBody = z.output<typeof CreateDatabaseBody>;

export const Database = z.object({
  id: z.string(),
  name: z.string(),
  username: z.string(),
  password: z.string(),
  host: z.string(),
  port: z.int(),
  hostId: z.string(),
  hostName: z.string(),
  createdAt: Timestamp,
});
export type Database = z.output<typeof Database>;

export const AvailableHost = z.object({
  id: z.string(),
  name: z.string(),
  engine: z.enum(['mysql', 'postgresql']),
  hasRoom: z.boolean(),
});
export type AvailableHost = z.output<typeof AvailableHost>;

export const DatabaseResponse = success(Database);
export const DatabasesResponse = successPage(Database);
export const AvailableHostsResponse = successPage(AvailableHost);
