import type { Recipes } from './recipe.js';
import { ACCOUNT } from './recipes/account.js';
import { ADMINISTRATION } from './recipes/administration.js';
import { FILE_TASKS } from './recipes/file-tasks.js';
import { FILE_UPLOADS } from './recipes/file-uploads.js';
import { FILES } from './recipes/files.js';
import { NODES } from './recipes/nodes.js';
import { PUBLIC } from './recipes/public.js';
import { SERVERS } from './recipes/servers.js';
import { TEMPLATES } from './recipes/templates.js';

/** A request to every route of the panel. A route that is missing here fails the matrix. */
export const RECIPES: Recipes = {
  ...PUBLIC,
  ...ACCOUNT,
  ...ADMINISTRATION,
  ...NODES,
  ...TEMPLATES,
  ...SERVERS,
  ...FILES,
  ...FILE_TASKS,
  ...FILE_UPLOADS,
};
