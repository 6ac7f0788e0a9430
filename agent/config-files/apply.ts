import { z } from 'zod';
import { ConfigFile } from '../../src/protocol/server-specification.js';
import { canWalkByDescriptor } from '../files/paths/descriptors.js';
import { applyToLines } from './file-lines.js';
import { applyToIni } from './ini.js';
import { applyToJson } from './json.js';
import { applyToProperties } from './properties.js';
import { createSandbox, type Sandbox, SandboxError } from './sandbox.js';
import { decodeText } from './text.js';
import { ConfigError, type ConfigValues } from './values.js';
import { applyToXml } from './xml.js';

const FILE_MAX_BYTES = 4 * 1024 * 1024;
/** Its reader needs a second and 250 MB for each megabyte. */
const YAML_MAX_BYTES = 1024 * 1024;
const NEW_FILE_MODE = 0o644;

type Apply = (text: string, values: ConfigValues) => string;

const PARSERS: Record<
  ConfigFile['parser'],
  { maxBytes: number; isLinesOnly: boolean; load(): Promise<Apply> }
> = {
  properties: { maxBytes: FILE_MAX_BYTES, isLinesOnly: true, load: async () => applyToProperties },
  file: { maxBytes: FILE_MAX_BYTES, isLinesOnly: true, load: async () => applyToLines },
  ini: { maxBytes: FILE_MAX_BYTES, isLinesOnly: true, load: async () => applyToIni },
  json: { maxBytes: FILE_MAX_BYTES, isLinesOnly: false, load: async () => applyToJson },
  xml: { maxBytes: FILE_MAX_BYTES, isLinesOnly: false, load: async () => applyToXml },
  yaml: {
    maxBytes: YAML_MAX_BYTES,
    isLinesOnly: false,
    load: async () => (await import('./yaml.js')).applyToYaml,
  },
};

export const ConfigJob = z.object({
  directory: z.string(),
  files: z.array(ConfigFile),
  /** Who the files belong to; null: whoever runs this. */
  owner: z.object({ uid: z.number(), gid: z.number() }).nullable(),
});
export type ConfigJob = z.infer<typeof ConfigJob>;

/**
 * Set the values in the files of a server. What is already as it should be is not written; a file that is not there is
 * made, unless its format is `file`, which only changes lines. A file that cannot be changed stays as it is.
 * @returns A sentence for the server's console for each file that was left alone.
 */
export async function applyConfigFiles({ directory, files, owner }: ConfigJob): Promise<string[]> {
  if (!canWalkByDescriptor) return ['Configuration files are only changed on Linux: they stay as they are.'];
  const sandbox = createSandbox(directory, owner);
  const problems: string[] = [];
  for (const file of files) {
    try {
      await applyFile(sandbox, file);
    } catch (error) {
      problems.push(`The file ${file.path} stays as it is: ${sentenceOf(error)}.`);
    }
  }
  return problems;
}

async function applyFile(sandbox: Sandbox, { path, parser, values }: ConfigFile): Promise<void> {
  const { maxBytes, isLinesOnly, load } = PARSERS[parser];
  const found = await sandbox.read(path, maxBytes);
  const { text, encode } = decodeText(found?.content ?? Buffer.alloc(0), isLinesOnly);
  const apply = await load();
  const changed = apply(text, values);
  if (changed === text) return;
  await sandbox.replace(path, { content: encode(changed), mode: found?.mode ?? NEW_FILE_MODE });
}

function sentenceOf(error: unknown): string {
  if (error instanceof ConfigError || error instanceof SandboxError) return error.message;
  // Errors of the system name the descriptor's path, which says nothing to anybody.
  if (error instanceof Error && 'code' in error) return `it could not be read or written (${error.code})`;
  return 'it could not be understood';
}
