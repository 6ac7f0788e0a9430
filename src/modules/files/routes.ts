import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams, Success } from '../../lib/schemas.js';
import { downloadRoutes } from './download-routes.js';
import { formUploadRoutes } from './form-upload-routes.js';
import { allowSilence } from './hang-up.js';
import { resumableUploadRoutes } from './resumable-upload-routes.js';
import {
  CONTENT_MAX_LENGTH,
  CopyFileBody,
  CopyResponse,
  CreateFileBody,
  DirectoryQuery,
  FileResponse,
  FilesResponse,
  MessageResponse,
  PathQuery,
  PermissionsBody,
  RenameFileBody,
  SearchQuery,
  SearchResponse,
  WriteFileBody,
} from './schemas.js';
import type { Files } from './service.js';
import { taskRoutes } from './task-routes.js';

const tags = ['Files'];
/** A character takes up to four bytes, and the rest of the body next to nothing. */
const CONTENT_BODY_MAX_BYTES = 4 * CONTENT_MAX_LENGTH + 64 * 1024;

export const fileRoutes: FastifyPluginAsyncZod<{ files: Files }> = async (app, { files }) => {
  await app.register(downloadRoutes, { files });
  await app.register(formUploadRoutes, { files });
  await app.register(resumableUploadRoutes, { files });
  await app.register(taskRoutes, { files });

  app.get(
    '/:serverId/files',
    {
      config: { access: 'file.read' },
      schema: {
        tags,
        summary: 'List a directory',
        params: ServerParams,
        querystring: DirectoryQuery,
        response: { 200: FilesResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      ...(await files.list(actor, params.serverId, query)),
    }),
  );

  app.delete(
    '/:serverId/files',
    {
      config: { access: 'file.delete' },
      schema: {
        tags,
        summary: 'Delete a file, or a directory with everything in it',
        params: ServerParams,
        querystring: PathQuery,
        response: { 200: MessageResponse },
      },
    },
    async ({ actor, params, query }, reply) => {
      allowSilence(reply);
      await files.remove(actor, params.serverId, query.path);
      return { success: true as const, message: 'File deleted successfully' };
    },
  );

  app.get(
    '/:serverId/files/stat',
    {
      config: { access: 'file.read' },
      schema: {
        tags,
        summary: 'Look at one file or directory',
        params: ServerParams,
        querystring: PathQuery,
        response: { 200: FileResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      data: await files.stat(actor, params.serverId, query.path),
    }),
  );

  app.get(
    '/:serverId/files/search',
    {
      config: { access: 'file.read' },
      schema: {
        tags,
        summary: 'Search files and directories by their names',
        description:
          'Finds names that have the text in them or, where it has `*` or `?`, are of that pattern. Links are not followed.',
        params: ServerParams,
        querystring: SearchQuery,
        response: { 200: SearchResponse },
      },
    },
    async ({ actor, params, query }) => ({
      success: true as const,
      ...(await files.search(actor, params.serverId, query)),
    }),
  );

  app.post(
    '/:serverId/files/create',
    {
      config: { access: 'file.write' },
      bodyLimit: CONTENT_BODY_MAX_BYTES,
      schema: {
        tags,
        summary: 'Create a file or a directory',
        params: ServerParams,
        body: CreateFileBody,
        response: { 200: FileResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await files.create(actor, params.serverId, body),
    }),
  );

  app.put(
    '/:serverId/files/write',
    {
      config: { access: 'file.write' },
      bodyLimit: CONTENT_BODY_MAX_BYTES,
      schema: {
        tags,
        summary: 'Write a file, whether it is there or not',
        params: ServerParams,
        body: WriteFileBody,
        response: { 200: FileResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await files.write(actor, params.serverId, body),
    }),
  );

  app.post(
    '/:serverId/files/rename',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Rename or move a file or a directory',
        params: ServerParams,
        body: RenameFileBody,
        response: { 200: Success },
      },
    },
    async ({ actor, params, body }) => {
      await files.rename(actor, params.serverId, body);
      return { success: true as const };
    },
  );

  app.post(
    '/:serverId/files/copy',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Copy a file, or a directory with everything in it',
        description: 'Takes `file.read`, too.',
        params: ServerParams,
        body: CopyFileBody,
        response: { 200: CopyResponse },
      },
    },
    async ({ actor, params, body }, reply) => {
      allowSilence(reply);
      return { success: true as const, data: await files.copy(actor, params.serverId, body) };
    },
  );

  app.post(
    '/:serverId/files/permissions',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Set the permission bits of a file or directory',
        params: ServerParams,
        body: PermissionsBody,
        response: { 200: FileResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await files.setPermissions(actor, params.serverId, body),
    }),
  );
};
