import { z } from 'zod';
import { areNetworks } from './files/pulling/ip-addresses.js';

const AgentEnvironment = z.object({
  PANEL_URL: z.url({
    protocol: /^https?$/,
    error: 'must be the address of the panel, such as https://panel.example.com',
  }),
  NODE_ID: z
    .string({ error: 'must be the id of this node, as the panel shows it' })
    .regex(/^[A-Za-z0-9_-]{1,64}$/, 'must be the id of this node, as the panel shows it'),
  NODE_TOKEN: z.string().optional(),
  AGENT_DATA_DIR: z.string().min(1).default('./data/agent'),
  RUNTIME: z
    .enum(['auto', 'docker', 'process'], { error: 'must be auto, docker or process' })
    .default('auto'),
  DOCKER_SOCKET: z.string().min(1).default('/var/run/docker.sock'),
  SERVER_UID: identity(28_000),
  SERVER_GID: identity(28_000),
  INSTALL_TIMEOUT_MINUTES: z.coerce
    .number({ error: 'must be a number of minutes' })
    .positive()
    .max(24 * 60)
    .default(30),
  PULL_ALLOWED_NETWORKS: z
    .string()
    .default('')
    .transform((text) => text.split(/[\s,]+/).filter((network) => network !== ''))
    .refine(areNetworks, 'must be networks with commas between them, such as 10.1.0.0/16,fd00:1::/64'),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
});

function identity(fallback: number) {
  const sentence = 'must be the number of an unprivileged user or group, not 0';
  return z.coerce
    .number({ error: sentence })
    .int(sentence)
    .min(1, sentence)
    .max(2 ** 32 - 2)
    .default(fallback);
}

export interface AgentConfig {
  panelUrl: string;
  nodeId: string;
  nodeToken: string | null;
  dataDir: string;
  runtime: 'auto' | 'docker' | 'process';
  dockerSocket: string;
  serverUid: number;
  serverGid: number;
  installTimeoutMinutes: number;
  /** In CIDR notation: of them servers may fetch files, though they are not public. */
  pullAllowedNetworks: string[];
  logLevel: string;
}

/**
 * Empty values count as unset: `NODE_TOKEN=` in an env file means the same as leaving it out.
 * @throws Error whose message lists every problem, a line each.
 */
export function loadAgentConfig(environment: Record<string, string | undefined>): AgentConfig {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const parsed = AgentEnvironment.safeParse(given);
  if (!parsed.success) {
    const problems = parsed.error.issues.map(({ path, message }) => `  ${path.join('.')} ${message}`);
    throw new Error(`The settings of the agent are not right:\n${problems.join('\n')}`);
  }
  const settings = parsed.data;
  return {
    panelUrl: settings.PANEL_URL,
    nodeId: settings.NODE_ID,
    nodeToken: settings.NODE_TOKEN ?? null,
    dataDir: settings.AGENT_DATA_DIR,
    runtime: settings.RUNTIME,
    dockerSocket: settings.DOCKER_SOCKET,
    serverUid: settings.SERVER_UID,
    serverGid: settings.SERVER_GID,
    installTimeoutMinutes: settings.INSTALL_TIMEOUT_MINUTES,
    pullAllowedNetworks: settings.PULL_ALLOWED_NETWORKS,
    logLevel: settings.LOG_LEVEL,
  };
}
