import { AppError } from '../../lib/errors.js';
import { describeIssues } from './issues.js';
import {
  CreateTemplateBody,
  EXPORT_FORMAT,
  EXPORT_VERSION,
  type ExportedTemplate,
  type Template,
} from './schemas.js';

export function exportTemplate(template: Template): ExportedTemplate {
  const { id: _id, createdAt: _createdAt, updatedAt: _updatedAt, ...fields } = template;
  return { format: EXPORT_FORMAT, version: EXPORT_VERSION, ...fields };
}

/** Whether the document says that it is one of `exportTemplate`, of whatever version. */
export function isExport(document: Readonly<Record<string, unknown>>): boolean {
  return document.format === EXPORT_FORMAT;
}

/** Throws `template.import_failed`, naming the field. */
export function readExport(document: Readonly<Record<string, unknown>>): CreateTemplateBody {
  if (document.version !== EXPORT_VERSION) {
    throw new AppError(
      'template.import_failed',
      `version: this panel reads version ${EXPORT_VERSION} of ${EXPORT_FORMAT} only`,
    );
  }
  const { format: _format, version: _version, ...fields } = document;
  // As in a new template, what is left out has its usual value: older exports know fewer fields.
  const read = CreateTemplateBody.safeParse(fields);
  if (!read.success) throw new AppError('template.import_failed', describeIssues(read.error));
  return read.data;
}
