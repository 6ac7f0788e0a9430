import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import { requestBaseUrl } from '../../http/base-url.js';
import type { Deployments } from './service.js';

const tags = ['Deployment'];

/** What a machine needs to become a node. The token in the address is the only key. */
export const deployRoutes: FastifyPluginAsyncZod<{ deployments: Deployments }> = async (
  app,
  { deployments },
) => {
  app.get(
    '/deploy/:token',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Get the set-up script of a node',
        description:
          'For `curl -fsSL <deployUrl> | sh`. A token that is unknown, used or expired: 404, empty.',
        params: z.object({ token: z.string() }),
        response: {
          200: { description: 'A shell script', content: { 'text/x-shellscript': { schema: z.string() } } },
          404: z.undefined().describe('The token is unknown, used or expired'),
        },
      },
    },
    async (request, reply) => {
      const script = await deployments.script(request.params.token, requestBaseUrl(request));
      reply.header('cache-control', 'no-store');
      if (script === null) return reply.code(404).send();
      reply.type('text/x-shellscript; charset=utf-8');
      return script;
    },
  );

  app.get(
    '/agent/catalyst-agent.mjs',
    {
      config: { access: 'public' },
      schema: {
        tags,
        summary: 'Download the agent',
        response: {
          200: { description: 'One file for Node.js', content: { 'text/javascript': { schema: z.any() } } },
          304: z.undefined().describe('It is still the one with this ETag'),
        },
      },
    },
    async (request, reply) => {
      const { bytes, sha256 } = await deployments.agent();
      const etag = `"${sha256}"`;
      reply.header('etag', etag).header('cache-control', 'no-cache');
      if (request.headers['if-none-match'] === etag) return reply.code(304).send();
      reply.type('text/javascript; charset=utf-8');
      return reply.send(bytes);
    },
  );
};
