import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { PageQuery, pageBody, Success } from '../../lib/schemas.js';
import {
  CreateIpPoolBody,
  IpPoolAllocationsResponse,
  IpPoolParams,
  IpPoolResponse,
  IpPoolsResponse,
  ListIpPoolsQuery,
  UpdateIpPoolBody,
} from './schemas.js';
import type { IpPools } from './service.js';

const tags = ['IP pools'];

export const ipPoolRoutes: FastifyPluginAsyncZod<{ ipPools: IpPools }> = async (app, { ipPools }) => {
  app.get(
    '/',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'List IP pools',
        querystring: ListIpPoolsQuery,
        response: { 200: IpPoolsResponse },
      },
    },
    async ({ actor, query }) => pageBody(await ipPools.list(actor, query), query),
  );

  app.get(
    '/:poolId',
    {
      config: { access: 'admin.read' },
      schema: { tags, summary: 'Get an IP pool', params: IpPoolParams, response: { 200: IpPoolResponse } },
    },
    async ({ actor, params }) => ({ success: true as const, data: await ipPools.get(actor, params.poolId) }),
  );

  app.get(
    '/:poolId/allocations',
    {
      config: { access: 'admin.read' },
      schema: {
        tags,
        summary: 'List the addresses of a pool that servers hold',
        params: IpPoolParams,
        querystring: PageQuery,
        response: { 200: IpPoolAllocationsResponse },
      },
    },
    async ({ actor, params, query }) =>
      pageBody(await ipPools.allocations(actor, params.poolId, query), query),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Create an IP pool',
        description:
          'Addresses of a node that its servers can have as their own, in one Docker network. The network address, ' +
          'the broadcast address of IPv4, the gateway and `reserved` (addresses and networks) are never given away; ' +
          'without a gateway the first address is kept for Docker, which makes it one.',
        body: CreateIpPoolBody,
        response: { 201: IpPoolResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await ipPools.create(actor, body) };
    },
  );

  app.put(
    '/:poolId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change an IP pool',
        description:
          'Fields that are left out stay as they are. While servers hold addresses of the pool its network stays as ' +
          'it is, and no address that is held can be excluded.',
        params: IpPoolParams,
        body: UpdateIpPoolBody,
        response: { 200: IpPoolResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await ipPools.update(actor, params.poolId, body),
    }),
  );

  app.delete(
    '/:poolId',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Delete an IP pool', params: IpPoolParams, response: { 200: Success } },
    },
    async ({ actor, params }) => {
      await ipPools.delete(actor, params.poolId);
      return { success: true as const };
    },
  );
};
