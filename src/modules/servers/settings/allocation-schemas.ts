import { z } from 'zod';
import { Port, ServerParams, success, successPage } from '../../../lib/schemas.js';

const PORT_MAX = 65_535;

export const AddAllocationBody = z.strictObject({
  containerPort: Port,
  /** Left out, a free one is chosen. */
  hostPort: Port.optional(),
});
export type AddAllocationBody = z.output<typeof AddAllocationBody>;

export const PrimaryAllocationBody = z.strictObject({ containerPort: Port });

export const AllocationParams = ServerParams.extend({
  containerPort: z
    .string()
    .regex(/^[1-9]\d{0,4}$/, 'must be a port number')
    .transform(Number)
    .pipe(z.int().max(PORT_MAX))
    .meta({ type: 'integer', minimum: 1, maximum: PORT_MAX, pattern: undefined }),
});

export const Allocation = z.object({ containerPort: z.int(), hostPort: z.int(), isPrimary: z.boolean() });
export type Allocation = z.output<typeof Allocation>;

export const AllocationResponse = success(Allocation);
export const AllocationsResponse = successPage(Allocation);
export const PrimaryPortResponse = success(z.object({ primaryPort: z.int() }));
