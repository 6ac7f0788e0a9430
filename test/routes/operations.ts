import type { Permission } from '../../src/lib/permissions.js';
import type { Panel } from '../helpers/panel.js';

/** A JSON schema, as far as tests look into it. */
export interface JsonSchema {
  type?: string | string[];
  properties?: Record<string, JsonSchema>;
  required?: string[];
  [keyword: string]: unknown;
}

/** A route as the OpenAPI document has it. */
export interface Operation {
  /** `POST /api/servers/{serverId}/start` */
  name: string;
  method: string;
  path: string;
  /** `public`, `signed-in`, `session` or a permission. */
  access: string;
  /** Rights that it takes beside that. */
  needs: readonly Permission[];
  /** The server in the path is what the right is about. */
  isAboutServer: boolean;
  parameters: { name: string; in: string; schema: JsonSchema; required?: boolean }[];
  body: JsonSchema | null;
  isBodyRequired: boolean;
}

interface DocumentedOperation {
  'x-access': string;
  parameters?: Operation['parameters'];
  requestBody?: { required?: boolean; content: Record<string, { schema: JsonSchema }> };
}

/** Every route of the panel, out of its own OpenAPI document. */
export async function readOperations(panel: Panel): Promise<Operation[]> {
  const { body } = await panel.get('/docs/json');
  const paths = body.paths as Record<string, Record<string, DocumentedOperation>>;
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      name: `${method.toUpperCase()} ${path}`,
      method: method.toUpperCase(),
      path,
      access: operation['x-access'],
      needs: [],
      isAboutServer: path.startsWith('/api/servers/{serverId}'),
      parameters: operation.parameters ?? [],
      body: operation.requestBody?.content['application/json']?.schema ?? null,
      isBodyRequired: operation.requestBody?.required ?? false,
    })),
  );
}

/** The path with its parameters filled in. Throws when one is missing. */
export function fillPath(path: string, parameters: Record<string, string>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_match, name: string) => {
    const value = parameters[name];
    if (value === undefined) throw new Error(`${path}: the recipe gives no ${name}`);
    return encodeURIComponent(value);
  });
}
