import process from 'node:process';
import { defineConfig } from 'prisma/config';

// `generate` needs no schema engine, yet the CLI tries to download one first and fails where it cannot.
if (process.argv.includes('generate')) process.env.PRISMA_SCHEMA_ENGINE_BINARY ??= process.execPath;

export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  datasource: { url: process.env.DATABASE_URL ?? '' },
});
