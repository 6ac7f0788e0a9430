import type { Cell, Recipe, Recipes, RouteRequest } from '../recipe.js';
import { addFiles, withFiles } from './files.js';

/** About an upload of which `content` has come. */
function withUpload(
  content: string,
  request: RouteRequest = {},
  recipe: Omit<Recipe, 'request'> = {},
): Recipe {
  return {
    ...recipe,
    // It is its node that knows which uploads it has.
    prepareOther: addFiles,
    request: async (cell) => ({ parameters: { uploadId: await addUpload(cell, content) }, ...request }),
  };
}

const SIZE_BYTES = 3;

async function addUpload(cell: Cell, content: string): Promise<string> {
  const { world, server } = cell;
  await addFiles(cell);
  const where = { id: server.id };
  const { suspendedAt } = await world.prisma.server.findUniqueOrThrow({ where });
  await world.prisma.server.update({ where, data: { suspendedAt: null } });
  const { token } = await world.user(['*']);
  const url = `/api/servers/${server.id}/files/uploads`;
  const begun = await world.panel.post(url, { path: '/mods/a.jar', sizeBytes: SIZE_BYTES }, token);
  const uploadId = String(begun.body.data.uploadId);
  if (content !== '') {
    const part = `${url}/${uploadId}?offset=0`;
    const { status, text } = await world.panel.call('PATCH', part, Buffer.from(content), token, OCTETS);
    if (status !== 200) throw new Error(`the upload has nothing: ${text}`);
  }
  await world.prisma.server.update({ where, data: { suspendedAt } });
  return uploadId;
}

const OCTETS = { 'content-type': 'application/octet-stream' };
const WHOLE = 'abc';
const SHA256 = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

export const FILE_UPLOADS: Recipes = {
  'GET /api/servers/{serverId}/files/uploads': withFiles({}),
  'POST /api/servers/{serverId}/files/uploads': withFiles(
    { body: { path: '/mods/b.jar', sizeBytes: SIZE_BYTES, replace: true } },
    { status: 201 },
  ),
  'GET /api/servers/{serverId}/files/uploads/{uploadId}': withUpload(''),
  // The upload is in the audit log, not each part of it.
  'PATCH /api/servers/{serverId}/files/uploads/{uploadId}': withUpload(
    '',
    { query: { offset: '0' }, headers: OCTETS, body: Buffer.from(WHOLE) },
    { isAudited: false },
  ),
  'POST /api/servers/{serverId}/files/uploads/{uploadId}/finish': withUpload(WHOLE, {
    body: { sha256: SHA256 },
  }),
  'DELETE /api/servers/{serverId}/files/uploads/{uploadId}': withUpload(WHOLE),
};
