import path from 'node:path';
import { z } from 'zod';

const Flag = z.enum(['true', 'false']).transform((value) => value === 'true');
const Port = z.coerce.number().int().min(0).max(65535);
/** Requests a minute; 0: not limited. */
const RateLimit = z.coerce.number().int().min(0).max(1_000_000);
const Days = z.coerce.number().int().min(1).max(3650);

const PROXIES = /^(true|false|[\da-fA-F.:]+(\/\d{1,3})?(\s*,\s*[\da-fA-F.:]+(\/\d{1,3})?)*)$/;

/** The panel's settings, read once from the environment. `.env.example` explains each. */
const Environment = z.object({
  HOST: z.string().default('127.0.0.1'),
  PORT: Port.default(3000),
  PUBLIC_URL: z.url({ protocol: /^https?$/ }).optional(),
  DATA_DIR: z
    .string()
    .default('./data')
    .transform((directory) => path.resolve(directory)),
  DATABASE_URL: z.url({ protocol: /^postgres(ql)?$/ }).optional(),
  DATABASE_POOL_SIZE: z.coerce.number().int().min(2).max(200).default(20),
  JWT_SECRET: z
    .string()
    .refine((text) => Buffer.byteLength(text) >= 32, 'must have at least 32 bytes')
    .optional(),
  SECRETS_KEY: z
    .string()
    .refine((text) => Buffer.byteLength(text) >= 32, 'must have at least 32 bytes')
    .optional(),
  ADMIN_EMAIL: z.email().default('admin@catalyst.local'),
  ADMIN_PASSWORD: z.string().min(8).max(128).optional(),
  REGISTRATION: z.enum(['open', 'closed']).default('open'),
  CORS_ORIGINS: z
    .string()
    .default('')
    .transform((text) =>
      text
        .split(',')
        .map((origin) => origin.trim())
        .filter(Boolean),
    ),
  TRUST_PROXY: z
    .string()
    .regex(PROXIES, 'must be true, false, or addresses like 10.0.0.0/8 separated by commas')
    .default('false')
    .transform((text) => (text === 'true' || text === 'false' ? text === 'true' : text)),
  LOCAL_AGENT: Flag.default(true),
  SFTP_PORT: Port.default(2022),
  REDIS_URL: z.url({ protocol: /^rediss?$/ }).optional(),
  LOG_LEVEL: z.enum(['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent']).default('info'),
  LOG_RETENTION_DAYS: Days.default(14),
  METRICS_RETENTION_DAYS: Days.default(30),
  AUDIT_RETENTION_DAYS: Days.default(365),
  RATE_LIMIT_PER_MINUTE: RateLimit.default(200),
  AUTH_RATE_LIMIT_PER_MINUTE: RateLimit.default(10),
  HEALTH_RATE_LIMIT_PER_MINUTE: RateLimit.default(1000),
  FILE_UPLOAD_MAX_MB: z.coerce.number().int().min(1).max(1_000_000).default(100),
  FILE_PULL_MAX_MB: z.coerce.number().int().min(1).max(1_000_000).default(4096),
  HEARTBEAT_INTERVAL_MS: z.coerce.number().int().min(100).max(300_000).default(30_000),
});

export type Config = z.infer<typeof Environment>;

/** Thrown by `loadConfig`; its message lists every problem, one a line. */
export class ConfigError extends Error {
  override name = 'ConfigError';
}

/** Empty values count as unset, so that `KEY=` in an .env file means the default. */
export function loadConfig(environment: NodeJS.ProcessEnv): Config {
  const given = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''));
  const result = Environment.safeParse(given);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => `  ${issue.path.join('.')}: ${issue.message}`);
  throw new ConfigError(`The configuration is not valid:\n${problems.join('\n')}`);
}
