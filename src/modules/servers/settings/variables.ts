import type { PrismaClient } from '../../../generated/prisma/client.js';
import { type Actor, hasPermission } from '../../../lib/actor.js';
import { recordAudit } from '../../../lib/audit.js';
import { AppError } from '../../../lib/errors.js';
import { readTemplate, type TemplateVariable } from '../../../lib/stored-template.js';
import type { ServerAccess } from '../access.js';
import { checkEnvironment, type VariableDeclarations } from '../placing/environment.js';
import type { Specifications } from '../specification.js';
import { type ServerVariable, VARIABLES_MAX } from './variables-schemas.js';

type Environment = Readonly<Record<string, string>>;

export interface ServerVariables {
  /** What the server's template lets be set, and what its next start will see. */
  variables(actor: Actor, serverId: string): Promise<ServerVariable[]>;
  /** Sets the named ones; null: back to the template's default. Counts from the next start. */
  setVariables(
    actor: Actor,
    serverId: string,
    values: Readonly<Record<string, string | null>>,
  ): Promise<ServerVariable[]>;
}

export function createServerVariables({
  prisma,
  access,
  specifications,
}: {
  prisma: PrismaClient;
  access: ServerAccess;
  specifications: Specifications;
}): ServerVariables {
  async function variablesOf(serverId: string): Promise<ServerVariable[]> {
    const server = await prisma.server.findUnique({
      where: { id: serverId },
      select: { template: { select: { variables: true, requiredVariables: true, environment: true } } },
    });
    if (!server) throw new AppError('server.not_found');
    const template = readTemplate(server.template);
    const { environment } = await specifications.of(serverId);
    return declarations(template).map(({ default: defaultValue, ...variable }) => ({
      ...variable,
      value: own(environment ?? {}, variable.name) ?? null,
      defaultValue,
    }));
  }

  return {
    async variables(actor, serverId) {
      await access.authorise(actor, serverId, 'server.read');
      return variablesOf(serverId);
    },

    async setVariables(actor, serverId, values) {
      await access.authorise(actor, serverId, 'server.update');
      await prisma.$transaction(async (transaction) => {
        // Two changes at once: neither loses what the other has set.
        await transaction.$queryRaw`SELECT FROM "Server" WHERE "id" = ${serverId} FOR UPDATE`;
        const server = await transaction.server.findUnique({
          where: { id: serverId },
          select: { name: true, environment: true, template: true },
        });
        if (!server) throw new AppError('server.not_found');
        const current = server.environment as Record<string, string>;
        const environment = merge(current, values);
        checkNewEnvironment({ actor, template: readTemplate(server.template), environment, current });
        const changed = changedNames(current, environment);
        if (changed.length === 0) return;
        await transaction.server.update({ where: { id: serverId }, data: { environment } });
        await recordAudit(transaction, actor, {
          action: 'server.set_variables',
          resourceType: 'server',
          resourceId: serverId,
          serverId,
          metadata: { serverName: server.name, variables: changed },
        });
      });
      return variablesOf(serverId);
    },
  };
}

/** As `checkEnvironment`; besides, nobody but an administrator takes away what only administrators may set. */
export function checkNewEnvironment(options: {
  actor: Actor;
  template: VariableDeclarations;
  environment: Environment;
  current: Environment;
}): void {
  const { actor, template, environment, current } = options;
  if (Object.keys(environment).length > VARIABLES_MAX) {
    throw new AppError('request.invalid', `A server has at most ${VARIABLES_MAX} variables.`);
  }
  checkEnvironment(options);
  if (hasPermission(actor, 'admin.write')) return;
  const lost = template.variables.find(({ name, userEditable, default: value }) => {
    const before = own(current, name);
    return !userEditable && before !== undefined && before !== value && own(environment, name) === undefined;
  });
  if (lost) throw new AppError('permission.denied', `Only an administrator may set ${lost.name}.`);
}

/** The names of variables that were added, changed or removed. */
export function changedNames(before: Environment, after: Environment): string[] {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...names].filter((name) => own(before, name) !== own(after, name)).sort();
}

function merge(
  current: Environment,
  values: Readonly<Record<string, string | null>>,
): Record<string, string> {
  const merged = Object.entries({ ...current, ...values });
  return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null));
}

/** The declared variables, and what the template only names: those have no rules. */
function declarations(template: VariableDeclarations): TemplateVariable[] {
  const declared = new Set(template.variables.map(({ name }) => name));
  const named = [...new Set([...template.requiredVariables, ...Object.keys(template.environment)])];
  const plain = named
    .filter((name) => !declared.has(name))
    .map((name) => ({
      name,
      description: '',
      default: own(template.environment, name) ?? null,
      required: template.requiredVariables.includes(name),
      userEditable: true,
      rules: '',
    }));
  return [...template.variables, ...plain];
}

/** A variable may be called `constructor`, which every object has. */
function own<Value>(values: Readonly<Record<string, Value>>, name: string): Value | undefined {
  return Object.hasOwn(values, name) ? values[name] : undefined;
}
