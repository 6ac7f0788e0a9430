import fastJsonStringify from 'fast-json-stringify';
import type { FastifySerializerCompiler } from 'fastify';
import { serializerCompiler as zodSerializerCompiler } from 'fastify-type-provider-zod';
import type { z } from 'zod';
import { outputJsonSchema } from './json-schema.js';

type JsonSchema = { [keyword: string]: unknown };

/**
 * Tests answer through zod itself, so that an answer that is not as declared fails. Otherwise the same
 * schemas become generated code that drops what they do not list, in a fifth of the time.
 */
export const serializerCompiler: FastifySerializerCompiler<z.ZodType> = (route) =>
  process.env.NODE_ENV === 'test' ? zodSerializerCompiler(route) : createSerializer(route.schema);

/** A function that writes values of a response schema as JSON text. */
export function createSerializer(schema: z.ZodType): (value: unknown) => string {
  return fastJsonStringify(simplify(outputJsonSchema(schema) as JsonSchema));
}

/**
 * What the generator is slow at or trips over: it validates to choose among `anyOf`, so "X or null" becomes
 * a nullable X, and what only matters to validation goes.
 */
function simplify(schema: JsonSchema): JsonSchema {
  const { anyOf, $schema, pattern, format, propertyNames, ...rest } = schema;
  if (Array.isArray(anyOf)) {
    const others = anyOf.filter((branch: JsonSchema) => branch.type !== 'null');
    if (others.length === 1 && others.length < anyOf.length) {
      return { ...simplify(others[0] as JsonSchema), ...rest, nullable: true };
    }
    return { ...rest, anyOf: anyOf.map((branch: JsonSchema) => simplify(branch)) };
  }
  for (const [keyword, value] of Object.entries(rest)) {
    if (keyword === 'properties' || keyword === 'definitions')
      rest[keyword] = mapValues(value as Record<string, JsonSchema>);
    else if ((keyword === 'items' || keyword === 'additionalProperties') && isSchema(value)) {
      rest[keyword] = simplify(value);
    }
  }
  return rest;
}

function mapValues(properties: Record<string, JsonSchema>): Record<string, JsonSchema> {
  return Object.fromEntries(Object.entries(properties).map(([name, schema]) => [name, simplify(schema)]));
}

function isSchema(value: unknown): value is JsonSchema {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
