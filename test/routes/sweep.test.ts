import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Answer } from '../helpers/panel.js';
import { BAD_PIECES, BAD_VALUES, fieldsOf, withField } from './bad-values.js';
import { type JsonSchema, type Operation, readOperations } from './operations.js';
import { ask, type Cell, prepare, type Recipe } from './recipe.js';
import { RECIPES } from './recipes.js';
import { createWorld, type World } from './world.js';

let world: World;
let operations: Operation[];
beforeAll(async () => {
  world = await createWorld();
  operations = await readOperations(world.panel);
});
afterAll(() => world.close());

const ajv = new Ajv2020({ strict: false, validateFormats: false });

function operationOf(name: string): Operation {
  const found = operations.find((operation) => operation.name === name);
  if (!found) throw new Error(`there is no route ${name}`);
  return found;
}

async function enter(recipe: Recipe): Promise<Cell> {
  const caller = await world.user(['*']);
  const owner = await world.user();
  return { world, caller, server: await world.server(owner.id, recipe.server) };
}

describe.each(Object.entries(RECIPES))('%s', (name, recipe) => {
  test('refuses bad fields with 400 and their name, and writes nothing', async () => {
    const operation = operationOf(name);
    if (!operation.body) return;
    const isValid = ajv.compile(operation.body);
    const cell = await enter(recipe);
    const request = await prepare(recipe, cell);
    const parameters = { serverId: cell.server.id, ...request.parameters };
    const send = (body: unknown) =>
      ask(world, operation, { ...request, parameters, body }, cell.caller.token);

    const problems: string[] = [];
    const before = await fingerprint(world);
    for (const { label, field, body } of badBodies(operation.body, request.body)) {
      if (accepts(isValid, body)) continue;
      const answer = await send(body);
      const isNamed = field === null || String(answer.body?.message).includes(field);
      if (answer.status !== 400 || !isNamed) problems.push(`${label}: ${shown(answer)}`);
    }
    expect(problems).toEqual([]);
    expect(await fingerprint(world)).toEqual(before);
  });

  test('answers what the schema lets through without a fault', async () => {
    const operation = operationOf(name);
    if (!operation.body) return;
    const isValid = ajv.compile(operation.body);
    const faults: string[] = [];
    const first = await enter(recipe);
    const { body: goodBody } = await prepare(recipe, first);
    for (const { label, path, bad } of badFields(goodBody)) {
      if (!accepts(isValid, withField(goodBody, path, bad))) continue;
      const cell = await enter(recipe);
      const request = await prepare(recipe, cell);
      const parameters = { serverId: cell.server.id, ...request.parameters };
      const body = withField(request.body, path, bad);
      const answer = await ask(world, operation, { ...request, parameters, body }, cell.caller.token);
      if (isFault(answer)) faults.push(`${label}: ${shown(answer)}`);
    }
    expect(faults).toEqual([]);
  });

  test('answers bad paths and queries without a fault', async () => {
    const operation = operationOf(name);
    const cell = await enter(recipe);
    const request = await prepare(recipe, cell);
    const good = { serverId: cell.server.id, ...request.parameters } as Record<string, string>;
    const faults: string[] = [];
    for (const { name: parameter, in: place } of operation.parameters) {
      for (const piece of BAD_PIECES) {
        const url = badUrl(operation, { good, query: request.query ?? {} }, { parameter, place, piece });
        const answer = await world.panel.call(
          operation.method,
          url,
          request.body,
          cell.caller.token,
          request.headers,
        );
        const isRefused = answer.status >= 400 && answer.status < 500;
        // A search may be for anything.
        const isFine = place === 'query' ? !isFault(answer) : isRefused;
        if (!isFine) faults.push(`${parameter}=${piece.slice(0, 30)}: ${shown(answer)}`);
      }
    }
    expect(faults).toEqual([]);
  });

  test('finds nothing of another server', async () => {
    const operation = operationOf(name);
    const nested = operation.parameters.filter(({ in: place }) => place === 'path');
    if (!operation.isAboutServer || nested.length < 2) return;
    const cell = await enter(recipe);
    const other = await enter(recipe);
    const request = await prepare(recipe, cell);
    await recipe.prepareOther?.(other);
    const parameters = { ...request.parameters, serverId: other.server.id };
    const answer = await ask(world, operation, { ...request, parameters }, cell.caller.token);
    expect([answer.status, answer.text]).toEqual([
      404,
      expect.stringMatching(/"code":"(?!request)\w+\.not_found"/),
    ]);
  });
});

function accepts(isValid: ValidateFunction, body: unknown): boolean {
  // Neither can be said in a schema; both are refused everywhere.
  return isValid(body) && !/\\u0000|\\ud800|"__proto__"/.test(JSON.stringify(body));
}

function badFields(body: unknown) {
  return fieldsOf(body).flatMap((path) =>
    BAD_VALUES.map((bad) => ({ label: `${path.join('.')} = ${bad.name}`, path, bad })),
  );
}

/** Every field with every bad value, an unknown field, and bodies that are no objects. */
function* badBodies(schema: JsonSchema, good: unknown) {
  for (const { label, path, bad } of badFields(good)) {
    yield { label, field: path.at(-1) ?? null, body: withField(good, path, bad) };
  }
  const fields = typeof good === 'object' && good !== null ? good : {};
  if (schema.type === 'object' || schema.properties) {
    yield { label: 'unknown field', field: 'isAdmin', body: { ...fields, isAdmin: true } };
    for (const body of [[], 7, true]) yield { label: JSON.stringify(body), field: null, body };
  }
}

function badUrl(
  { path }: Operation,
  request: { good: Record<string, string>; query: Record<string, string> },
  bad: { parameter: string; place: string; piece: string },
): string {
  const filled = path.replaceAll(/\{(\w+)\}/g, (_match, name: string) =>
    bad.place === 'path' && name === bad.parameter ? bad.piece : encodeURIComponent(request.good[name] ?? ''),
  );
  if (bad.place !== 'query') return filled;
  const others = new URLSearchParams(request.query);
  others.delete(bad.parameter);
  return `${filled}?${others}${others.size > 0 ? '&' : ''}${bad.parameter}=${bad.piece}`;
}

function isFault({ status, body }: Answer): boolean {
  return status === 500 || (status > 500 && body?.code === undefined);
}

function shown({ status, text }: Answer): string {
  return `${status} ${text.slice(0, 200)}`;
}

/** What is in every table: the same again when nothing was written. */
async function fingerprint({ prisma }: World): Promise<string[]> {
  const tables = await prisma.$queryRaw<{ name: string }[]>`
    SELECT quote_ident(tablename) AS "name" FROM pg_tables
    WHERE schemaname = 'public' AND tablename <> '_prisma_migrations' ORDER BY 1`;
  return Promise.all(
    tables.map(async ({ name }) => {
      const [row] = await prisma.$queryRawUnsafe<{ sum: string }[]>(
        `SELECT count(*) || ' ' || coalesce(sum(hashtext(t::text)), 0) AS "sum" FROM ${name} t`,
      );
      return `${name}: ${row?.sum}`;
    }),
  );
}
