import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { ServerParams } from '../../lib/schemas.js';
import { waitFor } from './hang-up.js';
import type { Files } from './service.js';
import {
  CompressBody,
  CompressResponse,
  DecompressBody,
  DecompressResponse,
  PullBody,
  PullResponse,
  TaskParams,
  TaskResponse,
  TasksResponse,
  WaitQuery,
} from './task-schemas.js';

const tags = ['Files'];
const WAITING =
  'Answers when it is done, and is cancelled when its client hangs up; with `?wait=false` it answers 202 with a task and goes on by itself.';
const KEPT =
  'Tasks are known to the panel that the agent of the node is connected to, until some minutes after their end; they end with it.';

export const taskRoutes: FastifyPluginAsyncZod<{ files: Files }> = async (app, { files }) => {
  app.post(
    '/:serverId/files/compress',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Make an archive of files and directories',
        description: `Takes \`file.read\`, too. ${WAITING}`,
        params: ServerParams,
        querystring: WaitQuery,
        body: CompressBody,
        response: { 200: CompressResponse, 202: TaskResponse },
      },
    },
    async ({ actor, params, query, body }, reply) => {
      const task = await files.compress(actor, params.serverId, body);
      if (!query.wait) return reply.code(202).send({ success: true, data: task.view() });
      const { path, bytes, entries } = await waitFor(task, task.outcome, reply);
      return { success: true as const, archivePath: path, size: bytes, entries };
    },
  );

  app.post(
    '/:serverId/files/decompress',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Unpack an archive',
        description: `What kind of archive it is, its content tells. Files of the same names are replaced once everything has been unpacked; an archive with anything hostile in it is refused as a whole. ${WAITING}`,
        params: ServerParams,
        querystring: WaitQuery,
        body: DecompressBody,
        response: { 200: DecompressResponse, 202: TaskResponse },
      },
    },
    async ({ actor, params, query, body }, reply) => {
      const task = await files.decompress(actor, params.serverId, body);
      if (!query.wait) return reply.code(202).send({ success: true, data: task.view() });
      const { path, bytes, entries } = await waitFor(task, task.outcome, reply);
      const message = 'Archive extracted successfully';
      return { success: true as const, message, targetPath: path, bytes, entries };
    },
  );

  app.post(
    '/:serverId/files/pull',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Have the node fetch a file',
        description: `By http or https, from public addresses only. ${WAITING}`,
        params: ServerParams,
        querystring: WaitQuery,
        body: PullBody,
        response: { 200: PullResponse, 202: TaskResponse },
      },
    },
    async ({ actor, params, query, body }, reply) => {
      const task = await files.pull(actor, params.serverId, body);
      if (!query.wait) return reply.code(202).send({ success: true, data: task.view() });
      return { success: true as const, data: await waitFor(task, task.file, reply) };
    },
  );

  app.get(
    '/:serverId/files/tasks',
    {
      config: { access: 'file.read' },
      schema: {
        tags,
        summary: 'List what is being done to the files, and what was a while ago',
        description: KEPT,
        params: ServerParams,
        response: { 200: TasksResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await files.listTasks(actor, params.serverId),
    }),
  );

  app.get(
    '/:serverId/files/tasks/:taskId',
    {
      config: { access: 'file.read' },
      schema: {
        tags,
        summary: 'See how a task is going',
        description: `${KEPT} Whoever has subscribed to the server over the WebSocket is told of changes: \`file_task\`.`,
        params: TaskParams,
        response: { 200: TaskResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await files.findTask(actor, params.serverId, params.taskId),
    }),
  );

  app.delete(
    '/:serverId/files/tasks/:taskId',
    {
      config: { access: 'file.write' },
      schema: {
        tags,
        summary: 'Cancel a task, whoever has started it',
        description: 'What is half done is taken back. A task that has ended stays as it is.',
        params: TaskParams,
        response: { 200: TaskResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await files.cancelTask(actor, params.serverId, params.taskId),
    }),
  );

  // Their clients wait for them, and the panel for its clients.
  app.addHook('preClose', async () => files.stopTasks());
};
