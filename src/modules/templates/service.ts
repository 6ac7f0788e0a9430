import type { Prisma, PrismaClient, Template as TemplateRow } from '../../generated/prisma/client.js';
import { type Actor, requirePermission } from '../../lib/actor.js';
import { type AuditEntry, auditChanges, recordAudit } from '../../lib/audit.js';
import { isForeignKeyViolation, isUniqueViolation } from '../../lib/database-errors.js';
import { AppError } from '../../lib/errors.js';
import { containsText } from '../../lib/like.js';
import { type Page, pageRange } from '../../lib/schemas.js';
import { readTemplate } from '../../lib/stored-template.js';
import { parseRules } from '../../lib/variable-rules.js';
import { withoutUndefined } from '../../lib/without-undefined.js';
import { exportTemplate } from './exchange.js';
import { importTemplate } from './import.js';
import type {
  CreateTemplateBody,
  ExportedTemplate,
  ImportedTemplate,
  ListTemplatesQuery,
  Template,
  TemplateSummary,
  TemplateVariable,
  UpdateTemplateBody,
} from './schemas.js';
import { refusePlaceholdersInScript, validateTemplate } from './validate.js';

interface NewTemplate {
  template: CreateTemplateBody;
  action: 'template.create' | 'template.import';
  metadata?: Record<string, unknown>;
}

export interface Templates {
  list(query: ListTemplatesQuery): Promise<Page<TemplateSummary>>;
  get(templateId: string): Promise<Template>;
  create(actor: Actor, input: CreateTemplateBody): Promise<Template>;
  /** Fields that are left out stay; the whole is checked again. */
  update(actor: Actor, templateId: string, input: UpdateTemplateBody): Promise<Template>;
  delete(actor: Actor, templateId: string): Promise<void>;
  /** What `import` takes. */
  export(actor: Actor, templateId: string): Promise<ExportedTemplate>;
  /** A template of `export`, or an egg of Pterodactyl or Pelican. Throws `template.import_failed`. */
  import(actor: Actor, document: Record<string, unknown>): Promise<ImportedTemplate>;
}

export function createTemplates({ prisma }: { prisma: PrismaClient }): Templates {
  return {
    async list({ search, sort, order, ...page }) {
      const where: Prisma.TemplateWhereInput = search ? { OR: searchIn(search) } : {};
      const [rows, total] = await Promise.all([
        prisma.template.findMany({
          where,
          omit: { installScript: true, configFiles: true },
          orderBy: [{ [sort]: order }, { id: 'asc' }],
          ...pageRange(page),
        }),
        prisma.template.count({ where }),
      ]);
      return { items: rows.map(readTemplate), total };
    },

    async get(templateId) {
      return find(prisma, templateId);
    },

    async create(actor, input) {
      requirePermission(actor, 'admin.write');
      refusePlaceholdersInScript(input.installScript);
      return insert(prisma, actor, { template: input, action: 'template.create' });
    },

    async update(actor, templateId, input) {
      requirePermission(actor, 'admin.write');
      return writing(() =>
        prisma.$transaction((transaction) => change(transaction, actor, templateId, input)),
      );
    },

    async delete(actor, templateId) {
      requirePermission(actor, 'admin.write');
      try {
        await prisma.$transaction(async (transaction) => {
          const row = await transaction.template.findUnique({ where: { id: templateId } });
          const { count } = await transaction.template.deleteMany({ where: { id: templateId } });
          if (!row || count === 0) throw new AppError('template.not_found');
          await recordAudit(transaction, actor, entry('template.delete', row));
        });
      } catch (error) {
        throw isForeignKeyViolation(error) ? new AppError('template.in_use') : error;
      }
    },

    async export(actor, templateId) {
      requirePermission(actor, 'admin.read');
      return exportTemplate(await find(prisma, templateId));
    },

    async import(actor, document) {
      requirePermission(actor, 'admin.write');
      const { template: input, warnings, format } = importTemplate(document);
      const metadata = { format, warnings: warnings.length };
      const template = await insert(prisma, actor, { template: input, action: 'template.import', metadata });
      return { template, warnings };
    },
  };
}

function searchIn(search: string): Prisma.TemplateWhereInput[] {
  const text = containsText(search);
  return [{ name: text }, { description: text }];
}

async function find(prisma: PrismaClient, templateId: string): Promise<Template> {
  const row = await prisma.template.findUnique({ where: { id: templateId } });
  if (!row) throw new AppError('template.not_found');
  return readTemplate(row);
}

async function insert(
  prisma: PrismaClient,
  actor: Actor,
  { template, action, metadata }: NewTemplate,
): Promise<Template> {
  validateTemplate(template);
  return writing(() =>
    prisma.$transaction(async (transaction) => {
      const row = await transaction.template.create({ data: stored(template) });
      await recordAudit(transaction, actor, entry(action, row, metadata));
      return row;
    }),
  );
}

async function change(
  transaction: Prisma.TransactionClient,
  actor: Actor,
  templateId: string,
  input: UpdateTemplateBody,
): Promise<TemplateRow> {
  // Locked, so that two changes which each fit the template cannot together break it.
  await transaction.$queryRaw`SELECT FROM "Template" WHERE "id" = ${templateId} FOR UPDATE`;
  const row = await transaction.template.findUnique({ where: { id: templateId } });
  if (!row) throw new AppError('template.not_found');
  const { id: _id, createdAt: _createdAt, updatedAt: _updatedAt, ...current } = readTemplate(row);
  const changed = { ...current, ...withoutUndefined(input) };
  if (changed.installScript !== current.installScript) refusePlaceholdersInScript(changed.installScript);
  validateTemplate(changed);
  const data = stored(changed);
  const changes = auditChanges(current, data);
  if (Object.keys(changes.after).length === 0) return row;
  await recordAudit(transaction, actor, entry('template.update', row, changes));
  return transaction.template.update({ where: { id: templateId }, data });
}

function entry(
  action: AuditEntry['action'],
  { id, name }: TemplateRow,
  metadata: Record<string, unknown> = {},
): AuditEntry {
  return {
    action,
    resourceType: 'template',
    resourceId: id,
    metadata: { templateName: name, ...metadata },
  };
}

function stored(template: CreateTemplateBody) {
  return {
    ...template,
    requiredVariables: [...new Set(template.requiredVariables)],
    variables: template.variables.map(withRequired),
    features: template.features as Prisma.InputJsonObject,
  } satisfies Prisma.TemplateCreateInput;
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
