import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { requestBaseUrl } from '../../http/base-url.js';
import { EmptyBody, NodeParams, PageQuery, pageBody, Success } from '../../lib/schemas.js';
import {
  DeploymentResponse,
  DeploymentTokenParams,
  DeploymentTokensResponse,
  RotatedSecretResponse,
} from './credential-schemas.js';
import type { Nodes } from './service.js';

const tags = ['Nodes'];

/** Secrets and deployment tokens of nodes. */
export const nodeCredentialRoutes: FastifyPluginAsyncZod<{ nodes: Nodes }> = async (app, { nodes }) => {
  app.post(
    '/:nodeId/deployment-token',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Create a deployment token',
        description: 'It works once, for an hour. The script at `deployUrl` sets an agent up with it.',
        params: NodeParams,
        body: EmptyBody,
        response: { 200: DeploymentResponse },
      },
    },
    async (request) => ({
      success: true as const,
      data: await nodes.deploy(request.actor, request.params.nodeId, requestBaseUrl(request)),
    }),
  );

  app.get(
    '/:nodeId/deployment-tokens',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'List the deployment tokens of a node',
        description: 'Newest first, without the tokens themselves: those are shown once.',
        params: NodeParams,
        querystring: PageQuery,
        response: { 200: DeploymentTokensResponse },
      },
    },
    async ({ actor, params, query }) =>
      pageBody(await nodes.listDeploymentTokens(actor, params.nodeId, query), query),
  );

  app.delete(
    '/:nodeId/deployment-tokens/:tokenId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Revoke a deployment token',
        params: DeploymentTokenParams,
        response: { 200: Success },
      },
    },
    async ({ actor, params }) => {
      await nodes.revokeDeploymentToken(actor, params.nodeId, params.tokenId);
      return { success: true as const };
    },
  );

  app.post(
    '/:nodeId/rotate-secret',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Replace the secret of a node',
        description:
          'The old secret and every unused deployment token stop working at once. A connected agent that can ' +
          'is told the new secret (`agentUpdated`); any other is disconnected and has to be set up again.',
        params: NodeParams,
        body: EmptyBody,
        response: { 200: RotatedSecretResponse },
      },
    },
    async ({ actor, params }) => ({
      success: true as const,
      data: await nodes.rotateSecret(actor, params.nodeId),
    }),
  );
};
