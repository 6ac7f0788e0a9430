import { z } from 'zod';
import {
  Description,
  Id,
  Name,
  PageQuery,
  Search,
  success,
  successPage,
  Timestamp,
} from '../../lib/schemas.js';

export const LocationParams = z.object({ locationId: Id });

export const CreateLocationBody = z.strictObject({ name: Name, description: Description.default('') });
export type CreateLocationBody = z.output<typeof CreateLocationBody>;

export const UpdateLocationBody = z.strictObject({
  name: Name.optional(),
  description: Description.optional(),
});
export type UpdateLocationBody = z.output<typeof UpdateLocationBody>;

export const ListLocationsQuery = z.strictObject({
  ...PageQuery.shape,
  /** Part of the name or the description. */
  search: Search.optional(),
});
export type ListLocationsQuery = z.output<typeof ListLocationsQuery>;

export const Location = z.object({
  id: z.string(),
  name: z.string(),
  description: z.string(),
  nodeCount: z.int(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type Location = z.output<typeof Location>;

export const LocationResponse = success(Location);
export const LocationsResponse = successPage(Location);
