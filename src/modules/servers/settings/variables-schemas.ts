import { z } from 'zod';
import { success, VariableName } from '../../../lib/schemas.js';

export const VARIABLES_MAX = 200;
const VALUE_MAX_LENGTH = 8192;

export const SetVariablesBody = z.strictObject({
  /** Null: back to the default. What is not named stays. */
  variables: z
    .record(VariableName, z.string().max(VALUE_MAX_LENGTH).nullable())
    .refine(
      (values) => Object.keys(values).length <= VARIABLES_MAX,
      `takes at most ${VARIABLES_MAX} variables`,
    ),
});

export const ServerVariable = z.object({
  name: z.string(),
  description: z.string(),
  /** What the next start sees. */
  value: z.string().nullable(),
  defaultValue: z.string().nullable(),
  required: z.boolean(),
  /** False: only administrators may set it. */
  userEditable: z.boolean(),
  rules: z.union([z.string(), z.array(z.string())]),
});
export type ServerVariable = z.output<typeof ServerVariable>;

export const VariablesResponse = success(z.array(ServerVariable));
