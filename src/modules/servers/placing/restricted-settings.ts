import { type Actor, hasPermission } from '../../../lib/actor.js';
import { AppError } from '../../../lib/errors.js';

/** What a template says about the images of its servers. */
export interface ImageChoices {
  dockerImage: string;
  /** Name → image. */
  images: Readonly<Record<string, string>>;
}

/**
 * Throws unless the actor may let a server run the image: everybody one of the template's, administrators any.
 * @param current What the server has so far: it may stay what it is.
 */
export function checkDockerImage(
  actor: Actor,
  template: ImageChoices,
  image: string | null,
  current: string | null = null,
): void {
  if (image === null || image === current || hasPermission(actor, 'admin.write')) return;
  const offered = [template.dockerImage, ...Object.values(template.images)];
  if (offered.includes(image)) return;
  throw new AppError(
    'permission.denied',
    `Only an administrator may choose another image than those of the template: ${offered.join(', ')}`,
  );
}

/** Throws unless the actor may say how many databases a server may have: no owner decides that for himself. */
export function checkDatabaseLimit(actor: Actor, limit: number, current: number): void {
  if (limit === current) return;
  if (hasPermission(actor, 'admin.write') || hasPermission(actor, 'server.update')) return;
  throw new AppError(
    'permission.denied',
    'Only an administrator may change how many databases a server may have.',
  );
}
