import { z } from 'zod';
import { success } from '../../lib/schemas.js';
import { Path } from './schemas.js';

const SHA256 = /^[0-9a-fA-F]{64}$/;

export const BeginUploadBody = z.strictObject({
  path: Path,
  /** Of the whole file. */
  sizeBytes: z.int().min(0).max(Number.MAX_SAFE_INTEGER),
  /** A file of the same name goes. */
  replace: z.boolean().default(false),
});
export type BeginUploadBody = z.output<typeof BeginUploadBody>;

export const FinishUploadBody = z
  .strictObject({
    /** Of the whole file, in hexadecimal. */
    sha256: z
      .string()
      .regex(SHA256, 'must be 64 hexadecimal digits')
      .transform((digits) => digits.toLowerCase())
      .optional(),
  })
  .nullish();
export type FinishUploadBody = z.output<typeof FinishUploadBody>;

const ID_MAX_LENGTH = 64;

export const UploadParams = z.object({
  serverId: z.string().min(1).max(ID_MAX_LENGTH),
  uploadId: z.string().min(1).max(ID_MAX_LENGTH),
});

export const PartQuery = z.object({
  /** Where the part begins: `receivedBytes` of the upload. */
  offset: z
    .string()
    .regex(/^\d{1,16}$/, 'Invalid input: expected a whole number')
    .transform(Number)
    .pipe(z.int().min(0))
    .meta({ type: 'integer', minimum: 0, pattern: undefined }),
});

export const ResumableUploadView = z.object({
  uploadId: z.string(),
  path: z.string(),
  sizeBytes: z.number(),
  /** What has come so far: where the next part begins. */
  receivedBytes: z.number(),
  /** It is forgotten then unless something comes. */
  expiresAt: z.iso.datetime(),
});
export type ResumableUploadView = z.output<typeof ResumableUploadView>;

export const ResumableUploadResponse = success(ResumableUploadView);
export const ResumableUploadsResponse = success(z.array(ResumableUploadView));
