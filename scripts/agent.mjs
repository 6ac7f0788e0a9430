import path from 'node:path';
import { build } from './build.mjs';
import { loadEnvironmentFile } from './environment.mjs';

const AGENT = path.resolve(import.meta.dirname, '../dist/catalyst-agent.mjs');

loadEnvironmentFile();
await build();
// From here on this process is the agent, also for whoever asks which program it is.
process.argv[1] = AGENT;
await import(AGENT);
