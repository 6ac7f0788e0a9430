import { existsSync } from 'node:fs';
import path from 'node:path';

/** Files that come with the program: in `dist/` beside the built code, in the project when run from its sources. */
export function resourcePath(name: 'migrations' | 'templates' | 'catalyst-agent.mjs'): string {
  const relative = name === 'catalyst-agent.mjs' ? name : path.join('prisma', name);
  const built = path.join(import.meta.dirname, relative);
  if (existsSync(built)) return built;
  return path.join(import.meta.dirname, '..', name === 'catalyst-agent.mjs' ? 'dist' : '.', relative);
}
