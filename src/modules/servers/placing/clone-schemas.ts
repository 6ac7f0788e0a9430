import { z } from 'zod';
import { Id, Name } from '../../../lib/schemas.js';

export const CloneServerBody = z.strictObject({
  name: Name,
  /** Left out, the online node with the most room is chosen. */
  nodeId: Id.optional(),
  /** Where that node has to be. */
  locationId: Id.optional(),
  /** For another user: takes `admin.write`. */
  ownerId: Id.optional(),
});
export type CloneServerBody = z.output<typeof CloneServerBody>;
