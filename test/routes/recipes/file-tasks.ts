import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import type { Cell, Recipe, Recipes } from '../recipe.js';
import { addFiles, withFiles } from './files.js';

/** About a task that has ended, which a suspended server may have, too. */
function withTask(recipe: Omit<Recipe, 'request'> = {}): Recipe {
  return { ...recipe, request: async (cell) => ({ parameters: { taskId: await addTask(cell) } }) };
}

async function addTask(cell: Cell): Promise<string> {
  const { world, server } = cell;
  await addFiles(cell);
  const where = { id: server.id };
  const { suspendedAt } = await world.prisma.server.findUniqueOrThrow({ where });
  await world.prisma.server.update({ where, data: { suspendedAt: null } });
  const { token } = await world.user(['*']);
  const url = `/api/servers/${server.id}/files`;
  const body = { paths: ['/motd.txt'], archiveName: 'a.zip' };
  const { status, text } = await world.panel.post(`${url}/compress`, body, token);
  if (status !== 200) throw new Error(`there is no task: ${text}`);
  const { body: listed } = await world.panel.get(`${url}/tasks`, token);
  await world.prisma.server.update({ where, data: { suspendedAt } });
  return String(listed.data[0].taskId);
}

export const FILE_TASKS: Recipes = {
  'POST /api/servers/{serverId}/files/compress': withFiles(
    {
      body: {
        paths: ['/motd.txt'],
        archiveName: 'a.zip',
        targetPath: '/packed',
        format: 'zip',
        replace: true,
      },
    },
    // What is packed is read.
    { needs: ['file.read'] },
  ),
  'POST /api/servers/{serverId}/files/decompress': {
    async request({ world, server }) {
      const directory = await world.installWithFiles(server);
      execFileSync('tar', ['-czf', join(directory, 'a.tar.gz'), '-C', '/', 'etc/hostname']);
      return { body: { archivePath: '/a.tar.gz', targetPath: '/unpacked' } };
    },
  },
  'POST /api/servers/{serverId}/files/pull': withFiles(
    // Who may ask for it is told by the node that it fetches nothing from itself.
    { body: { url: 'http://127.0.0.1/plugin.jar', path: '/plugins', name: 'plugin.jar', replace: true } },
    { status: 400 },
  ),
  'GET /api/servers/{serverId}/files/tasks': withFiles({}),
  'GET /api/servers/{serverId}/files/tasks/{taskId}': withTask(),
  // There is nothing left to cancel.
  'DELETE /api/servers/{serverId}/files/tasks/{taskId}': withTask({ isAudited: false }),
};
