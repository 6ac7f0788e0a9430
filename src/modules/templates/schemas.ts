import { z } from 'zod';
import {
  Description,
  Id,
  Name,
  success,
  successPage,
  Timestamp,
  VariableName,
  wholeNumber,
} from '../../lib/schemas.js';

const COMMAND_MAX_LENGTH = 8192;
const COMMAND_WORDS_MAX = 256;
const STOP_COMMAND_MAX_LENGTH = 1024;
const VALUE_MAX_LENGTH = 8192;
const SCRIPT_MAX_LENGTH = 65_536;
const DETECTION_MAX_LENGTH = 500;
const IMAGE_MAX_LENGTH = 512;
const PATH_MAX_LENGTH = 256;
const ENTRIES_MAX = 200;
const PORTS_MAX = 50;
const CONFIG_FILES_MAX = 50;

/** `[registry[:port]/]name[/name…][:tag][@sha256:…]`, after the reference grammar of the distribution project. */
const IMAGE_NAME = '[a-z0-9]+(?:(?:\\.|__?|-+)[a-z0-9]+)*';
const REGISTRY = '[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\\d{1,5})?';
const IMAGE = new RegExp(
  `^(?:${REGISTRY}/)?${IMAGE_NAME}(?:/${IMAGE_NAME})*(?::\\w[\\w.-]{0,127})?(?:@sha256:[0-9a-f]{64})?$`,
);
const DockerImage = z.string().max(IMAGE_MAX_LENGTH).regex(IMAGE, 'is not the reference of an image');

/** The words themselves, or a text that is split into words; empty: the image's own command. */
const StartCommand = z.union([
  z.string().trim().max(COMMAND_MAX_LENGTH),
  z.array(z.string().max(COMMAND_MAX_LENGTH)).max(COMMAND_WORDS_MAX),
]);

const PortNumber = wholeNumber({ min: 1, max: 65_535 });
const TemplatePorts = z.array(z.strictObject({ internal: PortNumber, external: PortNumber })).max(PORTS_MAX);

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
      values: z.record(
        z.string().max(200),
        z.union([z.string().max(VALUE_MAX_LENGTH), z.number(), z.boolean()]),
      ),
    }),
  )
  .max(CONFIG_FILES_MAX);

/** What clients show beside the server; only `configFiles` has a meaning here: files worth a quick link. */
const TemplateFeatures = z.record(z.string().max(64), z.unknown());

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
  /** A regular expression: the first line of the console that it matches ends `starting`. */
  startupDetection: z.string().min(1).max(DETECTION_MAX_LENGTH).nullable(),
  dataPath: DataPath,
};

export const TemplateParams = z.object({ templateId: Id });

export const CreateTemplateBody = z.strictObject({
  ...fields,
  description: fields.description.default(''),
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

export const TemplateResponse = success(Template);
export const TemplatesResponse = successPage(TemplateSummary);
