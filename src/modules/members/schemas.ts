import { z } from 'zod';
import { GivenEmail } from '../../lib/account-fields.js';
import { MemberPermissions } from '../../lib/permissions.js';
import { Id, success, successPage, Timestamp } from '../../lib/schemas.js';

export const MemberParams = z.object({ serverId: Id, userId: Id });

export const AddMemberBody = z
  .strictObject({
    /** Who: by one of the two. */
    userId: Id.optional(),
    email: GivenEmail.optional(),
    permissions: MemberPermissions,
  })
  .refine(
    ({ userId, email }) => (userId === undefined) !== (email === undefined),
    'needs either a userId or an email',
  );
export type AddMemberBody = z.output<typeof AddMemberBody>;

export const UpdateMemberBody = z.strictObject({ permissions: MemberPermissions });

export const Member = z.object({
  userId: z.string(),
  username: z.string(),
  email: z.string(),
  permissions: z.array(z.string()),
  createdAt: Timestamp,
});
export type Member = z.output<typeof Member>;

export const MemberResponse = success(Member);
export const MembersResponse = successPage(Member);
