import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { EmptyBody, PageQuery, pageBody, Success } from '../../../lib/schemas.js';
import type { Auth } from '../service.js';
import { AddSshKeyBody, SshKeyParams, SshKeyResponse, SshKeysResponse } from './ssh-key-schemas.js';

const tags = ['Account'];
const config = { access: 'session' } as const;

export const sshKeyRoutes: FastifyPluginAsyncZod<{ sshKeys: Auth['sshKeys'] }> = async (app, { sshKeys }) => {
  app.get(
    '/ssh-keys',
    {
      config,
      schema: {
        tags,
        summary: 'List your SSH keys',
        querystring: PageQuery,
        response: { 200: SshKeysResponse },
      },
    },
    async ({ actor, query }) => pageBody(await sshKeys.list(actor, query), query),
  );

  app.post(
    '/ssh-keys',
    {
      config,
      schema: {
        tags,
        summary: 'Add an SSH key',
        description: 'ed25519, ECDSA, RSA of 2048 bits or more, and security keys. DSA is refused.',
        body: AddSshKeyBody,
        response: { 201: SshKeyResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await sshKeys.add(actor, body) };
    },
  );

  app.delete(
    '/ssh-keys/:sshKeyId',
    {
      config,
      schema: {
        tags,
        summary: 'Remove an SSH key',
        params: SshKeyParams,
        body: EmptyBody,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await sshKeys.remove(actor, params.sshKeyId);
      return { success: true as const };
    },
  );
};
