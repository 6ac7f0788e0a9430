import { existsSync } from 'node:fs';
import path from 'node:path';

const FILE = path.resolve(import.meta.dirname, '../.env');

/** Settings from `.env` in the project; what the environment has already goes first. */
export function loadEnvironmentFile() {
  if (existsSync(FILE)) process.loadEnvFile(FILE);
}
