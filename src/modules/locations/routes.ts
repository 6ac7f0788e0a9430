import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { pageBody, Success } from '../../lib/schemas.js';
import {
  CreateLocationBody,
  ListLocationsQuery,
  LocationParams,
  LocationResponse,
  LocationsResponse,
  UpdateLocationBody,
} from './schemas.js';
import type { Locations } from './service.js';

const tags = ['Locations'];

export const locationRoutes: FastifyPluginAsyncZod<{ locations: Locations }> = async (app, { locations }) => {
  app.get(
    '/',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'List locations',
        querystring: ListLocationsQuery,
        response: { 200: LocationsResponse },
      },
    },
    async ({ query }) => pageBody(await locations.list(query), query),
  );

  app.get(
    '/:locationId',
    {
      config: { access: 'signed-in' },
      schema: {
        tags,
        summary: 'Get a location',
        params: LocationParams,
        response: { 200: LocationResponse },
      },
    },
    async ({ params }) => ({ success: true as const, data: await locations.get(params.locationId) }),
  );

  app.post(
    '/',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Create a location',
        body: CreateLocationBody,
        response: { 201: LocationResponse },
      },
    },
    async ({ actor, body }, reply) => {
      reply.code(201);
      return { success: true as const, data: await locations.create(actor, body) };
    },
  );

  app.put(
    '/:locationId',
    {
      config: { access: 'admin.write' },
      schema: {
        tags,
        summary: 'Change a location',
        params: LocationParams,
        body: UpdateLocationBody,
        response: { 200: LocationResponse },
      },
    },
    async ({ actor, params, body }) => ({
      success: true as const,
      data: await locations.update(actor, params.locationId, body),
    }),
  );

  app.delete(
    '/:locationId',
    {
      config: { access: 'admin.write' },
      schema: { tags, summary: 'Delete a location', params: LocationParams, response: { 200: Success } },
    },
    async ({ actor, params }) => {
      await locations.delete(actor, params.locationId);
      return { success: true as const };
    },
  );
};
