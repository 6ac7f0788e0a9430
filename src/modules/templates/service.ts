import type { Prisma, PrismaClient, Template as TemplateRow } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { type Page, type PageQuery, pageRange } from '../../lib/schemas.js';
import { readTemplate } from '../../lib/stored-template.js';
import { parseRules } from '../../lib/template-variables.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import type {
  CreateTemplateBody,
  Template,
  TemplateSummary,
  TemplateVariable,
  UpdateTemplateBody,
} from './schemas.js';
import { validateTemplate } from './validate.js';

export interface Templates {
  list(query: PageQuery): Promise<Page<TemplateSummary>>;
  get(templateId: string): Promise<Template>;
  create(actor: Actor, input: CreateTemplateBody): Promise<Template>;
  /** Fields that are left out stay; the whole is checked again. */
  update(actor: Actor, templateId: string, input: UpdateTemplateBody): Promise<Template>;
  delete(actor: Actor, templateId: string): Promise<void>;
}

export function createTemplates({ prisma }: { prisma: PrismaClient }): Templates {
  return {
    async list(query) {
      const [rows, total] = await Promise.all([
        prisma.template.findMany({
          omit: { installScript: true, configFiles: true },
          orderBy: [{ name: 'asc' }, { id: 'asc' }],
          ...pageRange(query),
        }),
        prisma.template.count(),
      ]);
      return { items: rows.map(readTemplate), total };
    },

    async get(templateId) {
      const row = await prisma.template.findUnique({ where: { id: templateId } });
      if (!row) throw new AppError('template.not_found');
      return readTemplate(row);
    },

    async create(actor, input) {
      requirePermission(actor, 'admin.write');
      validateTemplate(input);
      return writing(() => prisma.template.create({ data: stored(input) }));
    },

    async update(actor, templateId, input) {
      requirePermission(actor, 'admin.write');
      return writing(() =>
        prisma.$transaction(async (transaction) => {
          // Locked, so that two changes which each fit the template cannot together break it.
          await transaction.$queryRaw`SELECT FROM "Template" WHERE "id" = ${templateId} FOR UPDATE`;
          const row = await transaction.template.findUnique({ where: { id: templateId } });
          if (!row) throw new AppError('template.not_found');
          const { id: _id, createdAt: _createdAt, updatedAt: _updatedAt, ...current } = readTemplate(row);
          const changed = { ...current, ...withoutUndefined(input) };
          validateTemplate(changed);
          return transaction.template.update({ where: { id: templateId }, data: stored(changed) });
        }),
      );
    },

    async delete(actor, templateId) {
      requirePermission(actor, 'admin.write');
      try {
        const { count } = await prisma.template.deleteMany({ where: { id: templateId } });
        if (count === 0) throw new AppError('template.not_found');
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('template.in_use') : error;
      }
    },
  };
}

function stored(template: CreateTemplateBody): Prisma.TemplateCreateInput {
  return {
    ...template,
    requiredVariables: [...new Set(template.requiredVariables)],
    variables: template.variables.map(withRequired),
    features: template.features as Prisma.InputJsonObject,
  };
}

/** The rule and the flag say the same: whoever reads a template has to look at the flag only. */
function withRequired(variable: TemplateVariable): TemplateVariable {
  const isRequired = parseRules(variable.rules).some(({ kind }) => kind === 'required');
  return { ...variable, required: variable.required || isRequired };
}

async function writing(write: () => Promise<TemplateRow>): Promise<Template> {
  try {
    return readTemplate(await write());
  } catch (error) {
    throw isUniqueViolation(error) ? new AppError('template.name_taken') : error;
  }
}
