import { z } from 'zod';
import { DockerImage } from '../../lib/docker-image.js';
import {
  Description,
  Id,
  Name,
  PageQuery,
  Port,
  Search,
  success,
  successPage,
  Timestamp,
  VariableName,
} from '../../lib/schemas.js';

const COMMAND_MAX_LENGTH = 8192;
const COMMAND_WORDS_MAX = 256;
const STOP_COMMAND_MAX_LENGTH = 1024;
const VALUE_MAX_LENGTH = 8192;
const SCRIPT_MAX_LENGTH = 65_536;
const DETECTION_MAX_LENGTH = 500;
const PATH_MAX_LENGTH = 256;
const ENTRIES_MAX = 200;
const PORTS_MAX = 50;
const CONFIG_FILES_MAX = 50;
const CONFIG_VALUES_MAX = 500;
const DOCUMENT_KEYS_MAX = 200;
const IMAGES_MAX = 50;
const IMAGE_NAME_MAX_LENGTH = 100;
const FEATURES_MAX_LENGTH = 65_536;

/** The words themselves, or a text that is split into words; empty: the image's own command. */
const StartCommand = z.union([
  z.string().trim().max(COMMAND_MAX_LENGTH),
  z.array(z.string().max(COMMAND_MAX_LENGTH)).max(COMMAND_WORDS_MAX),
]);

const TemplatePorts = z.array(z.strictObject({ internal: Port, external: Port })).max(PORTS_MAX);

const TemplateEnvironment = z
  .record(VariableName, z.string().max(VALUE_MAX_LENGTH))
  .refine((names) => Object.keys(names).length <= ENTRIES_MAX, `takes at most ${ENTRIES_MAX} variables`);

export const TemplateVariable = z.strictObject({
  name: VariableName,
  description: Description.default(''),
  /** Null: a server without a value of its own has none. */
  default: z.string().max(VALUE_MAX_LENGTH).nullable().default(null),
  required: z.boolean().default(false),
  /** False: only administrators may set it. */
  userEditable: z.boolean().default(true),
  /** `required|string|max:20`, or the same as a list. */
  rules: z.union([z.string().max(2000), z.array(z.string().max(1000)).max(20)]).default(''),
});
export type TemplateVariable = z.output<typeof TemplateVariable>;

const TemplateVariables = z.array(TemplateVariable).max(ENTRIES_MAX);

/** Numbers and booleans stay what they are in files that know them. */
const ConfigValue = z.union([z.string().max(VALUE_MAX_LENGTH), z.number(), z.boolean()]);

const TemplateConfigFiles = z
  .array(
    z.strictObject({
      /** Inside the server's directory. */
      path: z
        .string()
        .min(1)
        .max(PATH_MAX_LENGTH)
        .refine((path) => !path.split('/').includes('..'), 'must stay inside the directory of the server'),
      parser: z.enum(['file', 'properties', 'ini', 'yaml', 'json', 'xml']),
      /** Key or path of keys → what it becomes: always, or by what it is now (`*`: anything else). */
      values: z
        .record(
          z.string().max(200),
          z.union([ConfigValue, z.record(z.string().max(VALUE_MAX_LENGTH), ConfigValue)]),
        )
        .refine(
          (values) => countValues(values) <= CONFIG_VALUES_MAX,
          `takes at most ${CONFIG_VALUES_MAX} values`,
        ),
    }),
  )
  .max(CONFIG_FILES_MAX);

/** What clients show beside the server; only `configFiles` has a meaning here: files worth a quick link. */
const TemplateFeatures = z
  .record(z.string().max(64), z.unknown())
  .refine((features) => JSON.stringify(features).length <= FEATURES_MAX_LENGTH, 'is too large');

const TemplateImages = z
  .record(z.string().trim().min(1).max(IMAGE_NAME_MAX_LENGTH), DockerImage)
  .refine((images) => Object.keys(images).length <= IMAGES_MAX, `takes at most ${IMAGES_MAX} images`);

/** What runs the install script, as `<shell> -c <script>`. */
const InstallShell = z
  .string()
  .regex(/^[A-Za-z0-9/_.-]{1,64}$/, 'is not the name of a shell')
  .refine((shell) => !shell.startsWith('-'), 'is not the name of a shell');

const StopSignal = z.enum(['SIGTERM', 'SIGINT', 'SIGQUIT', 'SIGHUP', 'SIGUSR1', 'SIGUSR2', 'SIGKILL']);

/** Where a container sees its server's directory: absolute, and no place that the system needs for itself. */
const DataPath = z
  .string()
  .max(PATH_MAX_LENGTH)
  .regex(/^(?:\/[A-Za-z0-9._ -]+)+$/, 'must be an absolute path')
  .refine(
    (path) => path.split('/').every((part) => part !== '.' && part !== '..'),
    'must be an absolute path',
  )
  .refine((path) => !/^\/(?:proc|sys|dev|etc|bin|sbin|lib|lib64|usr|boot|run)(?:\/|$)/.test(path), {
    message: 'belongs to the system',
    abort: true,
  });

const fields = {
  name: Name,
  description: Description,
  dockerImage: DockerImage,
  /** What else the owner of a server may choose: name → image. */
  images: TemplateImages,
  startCommand: StartCommand,
  stopCommand: z.string().max(STOP_COMMAND_MAX_LENGTH).nullable(),
  /** Sent to the server when there is no `stopCommand`. */
  stopSignal: StopSignal.nullable(),
  ports: TemplatePorts,
  environment: TemplateEnvironment,
  requiredVariables: z.array(VariableName).max(ENTRIES_MAX),
  variables: TemplateVariables,
  features: TemplateFeatures,
  configFiles: TemplateConfigFiles,
  installImage: DockerImage.nullable(),
  installScript: z.string().max(SCRIPT_MAX_LENGTH).nullable(),
  installShell: InstallShell,
  /** Where the install script sees the server's directory, when that is not `dataPath`. */
  installDataPath: DataPath.nullable(),
  /** Root of the install container only: for scripts that install packages. */
  installAsRoot: z.boolean(),
  /** A regular expression: the first line of the console that it matches ends `starting`. */
  startupDetection: z.string().min(1).max(DETECTION_MAX_LENGTH).nullable(),
  dataPath: DataPath,
};

export const ListTemplatesQuery = z.strictObject({
  ...PageQuery.shape,
  /** Part of the name or the description. */
  search: Search.optional(),
  sort: z.enum(['name', 'createdAt', 'updatedAt']).default('name'),
  order: z.enum(['asc', 'desc']).default('asc'),
});
export type ListTemplatesQuery = z.output<typeof ListTemplatesQuery>;

export const TemplateParams = z.object({ templateId: Id });

export const CreateTemplateBody = z.strictObject({
  ...fields,
  description: fields.description.default(''),
  images: fields.images.default({}),
  startCommand: fields.startCommand.default(''),
  stopCommand: fields.stopCommand.default(null),
  stopSignal: fields.stopSignal.default(null),
  ports: fields.ports.default([]),
  environment: fields.environment.default({}),
  requiredVariables: fields.requiredVariables.default([]),
  variables: fields.variables.default([]),
  features: fields.features.default({}),
  configFiles: fields.configFiles.default([]),
  installImage: fields.installImage.default(null),
  installScript: fields.installScript.default(null),
  installShell: fields.installShell.default('sh'),
  installDataPath: fields.installDataPath.default(null),
  installAsRoot: fields.installAsRoot.default(false),
  startupDetection: fields.startupDetection.default(null),
  dataPath: fields.dataPath.default('/data'),
});
export type CreateTemplateBody = z.output<typeof CreateTemplateBody>;

export const UpdateTemplateBody = z.strictObject(fields).partial();
export type UpdateTemplateBody = z.output<typeof UpdateTemplateBody>;

/** As it is stored and shown. */
export const Template = z.object({
  id: z.string(),
  ...fields,
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export type Template = z.output<typeof Template>;

/** Lists leave out what can be long. */
export const TemplateSummary = Template.omit({ installScript: true, configFiles: true });
export type TemplateSummary = z.output<typeof TemplateSummary>;

function countValues(values: Record<string, unknown>): number {
  const counts = Object.values(values).map((value) =>
    typeof value === 'object' && value !== null ? Object.keys(value).length : 1,
  );
  return counts.reduce((sum, count) => sum + count, 0);
}

export const TemplateResponse = success(Template);
export const TemplatesResponse = successPage(TemplateSummary);

/** The whole document is looked at by the importers, which say what they cannot carry over. */
export const ImportTemplateBody = z
  .record(z.string().max(200), z.unknown())
  .refine(
    (document) => Object.keys(document).length <= DOCUMENT_KEYS_MAX,
    `takes at most ${DOCUMENT_KEYS_MAX} fields`,
  );

export const ImportedTemplate = z.object({
  template: Template,
  /** What of the egg has no counterpart here, each with its place in the egg. */
  warnings: z.array(z.string()),
});
export type ImportedTemplate = z.output<typeof ImportedTemplate>;

export const EXPORT_FORMAT = 'catalyst-template';
export const EXPORT_VERSION = 1;

/** What `export` answers and `import` takes. */
export const ExportedTemplate = z.strictObject({
  format: z.literal(EXPORT_FORMAT),
  version: z.literal(EXPORT_VERSION),
  ...fields,
});
export type ExportedTemplate = z.output<typeof ExportedTemplate>;

export const ImportTemplateResponse = success(ImportedTemplate);
export const ExportTemplateResponse = success(ExportedTemplate);
