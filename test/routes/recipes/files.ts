import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Cell, Recipe, Recipes, RouteRequest } from '../recipe.js';

/** About a server that has a file and a directory, on a node whose files can be reached. */
export function withFiles(request: RouteRequest, recipe: Omit<Recipe, 'request'> = {}): Recipe {
  return { ...recipe, request: async (cell) => ({ ...(await addFiles(cell)), ...request }) };
}

export async function addFiles({ world, server }: Cell): Promise<RouteRequest> {
  const directory = await world.installWithFiles(server);
  writeFileSync(join(directory, 'motd.txt'), 'hello');
  mkdirSync(join(directory, 'world'));
  return {};
}

const oneFile = { query: { path: '/motd.txt' } };

export const FILES: Recipes = {
  'GET /api/servers/{serverId}/files': withFiles({ query: { path: '/' } }),
  'GET /api/servers/{serverId}/files/stat': withFiles(oneFile),
  'GET /api/servers/{serverId}/files/search': withFiles({ query: { path: '/', text: 'm*' } }),
  'GET /api/servers/{serverId}/files/download': withFiles(oneFile),
  'DELETE /api/servers/{serverId}/files': withFiles(oneFile),
  'POST /api/servers/{serverId}/files/create': withFiles({
    body: { path: '/configs/new.yml', content: 'key: value', isDirectory: false },
  }),
  'PUT /api/servers/{serverId}/files/write': withFiles({ body: { path: '/motd.txt', content: 'welcome' } }),
  'POST /api/servers/{serverId}/files/rename': withFiles({
    body: { from: '/motd.txt', to: '/world/motd.txt', replace: true },
  }),
  'POST /api/servers/{serverId}/files/copy': withFiles(
    { body: { from: '/motd.txt', to: '/world/motd.txt' } },
    // What is copied is read.
    { needs: ['file.read'] },
  ),
  'POST /api/servers/{serverId}/files/permissions': withFiles({ body: { path: '/motd.txt', mode: '0600' } }),
  'POST /api/servers/{serverId}/files/upload': {
    request: async (cell) => ({ ...(await addFiles(cell)), body: uploadForm() }),
  },
};

function uploadForm(): FormData {
  const form = new FormData();
  form.append('path', '/plugins');
  form.append('file', new File(['bytes'], 'plugin.jar'));
  return form;
}
