import { z } from 'zod';
import { wholeNumber } from '../../../lib/schemas.js';

const CRASHES_MAX = 1000;
const RestartPolicy = z.enum(['always', 'on-failure', 'never']);

export const RestartPolicyBody = z
  .strictObject({
    restartPolicy: RestartPolicy.optional(),
    maxCrashCount: wholeNumber({ max: CRASHES_MAX }).optional(),
  })
  .refine(
    ({ restartPolicy, maxCrashCount }) => restartPolicy !== undefined || maxCrashCount !== undefined,
    'needs a restartPolicy or a maxCrashCount',
  );
export type RestartPolicyBody = z.output<typeof RestartPolicyBody>;

const CrashPolicy = z.object({ restartPolicy: RestartPolicy, maxCrashCount: z.int() });
export type CrashPolicy = z.output<typeof CrashPolicy>;

export const CrashPolicyResponse = CrashPolicy.extend({ success: z.literal(true) });
