import { z } from 'zod';
import { Id, Name, Port, success, successPage, Timestamp, wholeNumber } from '../../lib/schemas.js';

const DATABASES_MAX = 100_000;

export const HostParams = z.object({ hostId: Id });

const Engine = z
  .enum(['mysql', 'postgresql'])
  .meta({ description: '`mysql` is MySQL or MariaDB, `postgresql` PostgreSQL 15 or newer.' });

/** A name or an address: as connections are made to it, and as users put it into their games. */
const Address = z
  .string()
  .trim()
  .min(1)
  .max(253)
  .regex(/^(::|[A-Za-z0-9:]([A-Za-z0-9._:-]*[A-Za-z0-9:])?)$/, 'must be a host name or an IP address');

/** Of the account that makes databases and users. */
const Username = z
  .string()
  .min(1)
  .max(128)
  .regex(/^\P{Cc}*$/u, 'must not have control characters in it');
const Password = z
  .string()
  .min(1)
  .max(256)
  .regex(/^\P{Cc}*$/u, 'must not have control characters in it');

const settings = {
  name: Name,
  host: Address,
  port: Port,
  publicHost: Address.nullable(),
  publicPort: Port.nullable(),
  username: Username,
  password: Password,
  useTls: z.boolean(),
  maxDatabases: wholeNumber({ max: DATABASES_MAX }).nullable(),
};

export const CreateHostBody = z.strictObject({
  ...settings,
  engine: Engine,
  port: Port.optional().meta({ description: "Left out: the engine's usual one, 3306 or 5432." }),
  publicHost: settings.publicHost.default(null),
  publicPort: settings.publicPort.default(null),
  useTls: settings.useTls.default(false),
  maxDatabases: settings.maxDatabases.default(null),
});
export type CreateHostBody = z.output<typeof CreateHostBody>;

export const UpdateHostBody = z.strictObject(settings).partial();
export type UpdateHostBody = z.output<typeof UpdateHostBody>;

export const DatabaseHost = z.object({
  id: z.string(),
  name: z.string(),
  engine: Engine,
  host: z.string(),
  port: z.int(),
  publicHost: z.string().nullable(),
  publicPort: z.int().nullable(),
  username: z.string(),
  useTls: z.boolean(),
  maxDatabases: z.int().nullable(),
  databaseCount: z.int(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type DatabaseHost = z.output<typeof DatabaseHost>;

export const HostResponse = success(DatabaseHost);
export const HostsResponse = successPage(DatabaseHost);
export const HostTestResponse = success(z.object({ version: z.string() }));
