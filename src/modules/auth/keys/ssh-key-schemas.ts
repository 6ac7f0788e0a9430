import { z } from 'zod';
import { Id, Name, success, successPage, Timestamp } from '../../../lib/schemas.js';

/** The longest RSA key takes 2800, and people write comments behind. */
const LINE_MAX_LENGTH = 8192;

export const SshKeyParams = z.object({ sshKeyId: Id });

export const AddSshKeyBody = z.strictObject({
  name: Name,
  /** One line in the format of OpenSSH, as in the file that ends in `.pub`. */
  publicKey: z.string().min(1).max(LINE_MAX_LENGTH),
});
export type AddSshKeyBody = z.output<typeof AddSshKeyBody>;

const SshKeyView = z.object({
  id: z.string(),
  name: z.string(),
  type: z.string(),
  publicKey: z.string(),
  /** `SHA256:…`, as `ssh-keygen -l` prints it. */
  fingerprint: z.string(),
  createdAt: Timestamp,
  lastUsedAt: Timestamp.nullable(),
});
export type SshKeyView = z.output<typeof SshKeyView>;

export const SshKeysResponse = successPage(SshKeyView);
export const SshKeyResponse = success(SshKeyView);
