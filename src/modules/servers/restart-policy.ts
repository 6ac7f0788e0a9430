import type { RestartPolicy } from '../../generated/prisma/enums.js';

/** What everybody but Prisma, whose names have no dash, calls them. */
type ShownRestartPolicy = 'always' | 'on-failure' | 'never';

export function storedRestartPolicy(policy: ShownRestartPolicy): RestartPolicy {
  return policy === 'on-failure' ? 'on_failure' : policy;
}

export function shownRestartPolicy(policy: RestartPolicy): ShownRestartPolicy {
  return policy === 'on_failure' ? 'on-failure' : policy;
}
