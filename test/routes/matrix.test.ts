import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CALLERS, type CallerKind, judge, STATUS } from './callers.js';
import { type Operation, readOperations } from './operations.js';
import { ask, type Cell, prepare, type Recipe } from './recipe.js';
import { RECIPES } from './recipes.js';
import { createSecretWatch } from './secret-watch.js';
import { createWorld, type World } from './world.js';

let world: World;
let operations: Operation[];
const secrets = createSecretWatch();
beforeAll(async () => {
  world = await createWorld({ log: secrets.log });
  secrets.plant(...world.secrets);
  operations = await readOperations(world.panel);
});
afterAll(() => world.close());

test('every route of the panel is in the matrix, and nothing else', () => {
  expect(operations.map(({ name }) => name).sort()).toEqual(Object.keys(RECIPES).sort());
});

describe.each(Object.entries(RECIPES))('%s', (name, recipe) => {
  test('answers every kind of caller as the rules say', async () => {
    const found = operations.find((candidate) => candidate.name === name);
    if (!found) throw new Error(`there is no route ${name}`);
    const operation = { ...found, needs: recipe.needs ?? [] };
    const outcomes: string[] = [];
    const expected: string[] = [];
    for (const kind of CALLERS) {
      const { token, cell } = await enter(kind, operation, recipe);
      const request = await prepare(recipe, cell);
      const auditedBefore = await countAudited();
      const parameters = { serverId: cell.server.id, ...request.parameters };
      const answer = await ask(world, operation, { ...request, parameters }, token);
      secrets.plant(...(token ? [token] : []));
      secrets.look(name, answer);
      const verdict = judge(kind, operation);
      const audited = (await countAudited()) - auditedBefore;
      const isAudited = recipe.isAudited ?? operation.method !== 'GET';
      const { isSuspended } = kind.standing(operation);
      const allowedStatus = (isSuspended && recipe.statusWhileSuspended) || (recipe.status ?? 200);
      const status = verdict === 'allowed' ? allowedStatus : STATUS[verdict];
      expected.push(line(kind, status, verdict === 'allowed' && isAudited && status < 300 ? 1 : 0));
      outcomes.push(line(kind, answer.status, audited, answer.status === status ? '' : answer.text));
    }
    expect(outcomes).toEqual(expected);
  });
});

test('no answer and no line of the log had a secret in it that was not asked for', () => {
  expect(secrets.handedOut()).toBeGreaterThan(50);
  expect(secrets.lines()).toBeGreaterThan(1000);
  expect(secrets.leaks()).toEqual([]);
});

function line(kind: CallerKind, status: number, audited: number, text = ''): string {
  return `${kind.name}: ${status}, audit rows: ${audited}${text && ` ${text}`}`;
}

async function enter(
  kind: CallerKind,
  operation: Operation,
  recipe: Recipe,
): Promise<{ token: string | null; cell: Cell }> {
  const created = kind.create(world, operation);
  const caller = await (created ?? world.user());
  const { isOwner, memberPermissions, isSuspended } = kind.standing(operation);
  const owner = isOwner ? caller.id : (await world.user()).id;
  const server = await world.server(owner, {
    ...recipe.server,
    ...(isSuspended && { suspendedAt: new Date() }),
    ...(memberPermissions && {
      access: { create: { userId: caller.id, permissions: [...memberPermissions] } },
    }),
  });
  return { token: created ? caller.token : null, cell: { world, caller, server } };
}

/** Without what the panel does by itself meanwhile, which comes from nowhere. */
function countAudited(): Promise<number> {
  return world.prisma.auditLog.count({ where: { ipAddress: { not: null } } });
}
