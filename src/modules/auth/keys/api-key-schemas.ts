import { z } from 'zod';
import { GrantedPermissions } from '../../../lib/permissions.js';
import { Id, Name, success, successPage, Timestamp } from '../../../lib/schemas.js';

export const ApiKeyParams = z.object({ apiKeyId: Id });

/** The last moment of four digits: a time zone can lead beyond it, where there is no way of writing it any more. */
const LATEST_MS = Date.UTC(10_000, 0) - 1;

/** When a key ends by itself. */
const Expiry = z.iso
  .datetime({ offset: true })
  .refine((text) => Date.parse(text) > Date.now(), 'lies in the past')
  .refine((text) => Date.parse(text) <= LATEST_MS, 'lies too far in the future')
  .transform((text) => new Date(text));

export const CreateApiKeyBody = z.strictObject({
  name: Name,
  /** The key may do what its owner may, and of that no more than this. */
  permissions: GrantedPermissions.min(1).default(['*']),
  /** Null or left out: never. */
  expiresAt: Expiry.nullable().default(null),
});
export type CreateApiKeyBody = z.output<typeof CreateApiKeyBody>;

const ApiKey = z.object({
  id: z.string(),
  name: z.string(),
  /** The first characters of the key. */
  prefix: z.string(),
  permissions: z.array(z.string()),
  createdAt: Timestamp,
  expiresAt: Timestamp.nullable(),
});

const ApiKeyView = ApiKey.extend({
  /** To the minute. */
  lastUsedAt: Timestamp.nullable(),
  lastUsedIp: z.string().nullable(),
});
export type ApiKeyView = z.output<typeof ApiKeyView>;

const CreatedApiKey = ApiKey.extend({
  /** For `Authorization: Bearer …`. It is shown this once. */
  key: z.string(),
});
export type CreatedApiKey = z.output<typeof CreatedApiKey>;

export const ApiKeysResponse = successPage(ApiKeyView);
export const CreatedApiKeyResponse = success(CreatedApiKey);
