import { AppError } from '../../lib/errors.js';
import { importEgg, isEgg } from './eggs/egg.js';
import { isExport, readExport } from './exchange.js';
import { describeIssues } from './issues.js';
import { CreateTemplateBody, EXPORT_FORMAT } from './schemas.js';
import { validateTemplate } from './validate.js';

export interface ImportResult {
  template: CreateTemplateBody;
  /** What is not carried over, each with its place. */
  warnings: string[];
  /** `catalyst-template`, `PTDL_v2`, … */
  format: string;
}

/** Recognises what it is given. Throws `template.import_failed` with a sentence that names the place. */
export function importTemplate(document: Readonly<Record<string, unknown>>): ImportResult {
  const exported = unwrap(document);
  if (isExport(exported)) {
    const template = readExport(exported);
    requireValid(template);
    return { template, warnings: [], format: EXPORT_FORMAT };
  }
  if (!isEgg(document)) {
    throw new AppError(
      'template.import_failed',
      'meta.version: must be PTDL_v1, PTDL_v2, PLCN_v1, PLCN_v2 or PLCN_v3; or format: "catalyst-template"',
    );
  }
  const { fields, warnings, format } = importEgg(document);
  const read = CreateTemplateBody.safeParse(fields);
  if (!read.success) throw new AppError('template.import_failed', describeIssues(read.error));
  requireValid(read.data);
  return { template: read.data, warnings, format };
}

/** The whole answer of an export will do, too. */
function unwrap(document: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { success, data } = document;
  const isAnswer = success === true && typeof data === 'object' && data !== null && !Array.isArray(data);
  return isAnswer ? (data as Record<string, unknown>) : document;
}

function requireValid(template: CreateTemplateBody): void {
  try {
    validateTemplate(template);
  } catch (cause) {
    if (!(cause instanceof AppError)) throw cause;
    throw new AppError('template.import_failed', cause.message, { cause });
  }
}
