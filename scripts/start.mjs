import path from 'node:path';
import { build } from './build.mjs';
import { loadEnvironmentFile } from './environment.mjs';

const PANEL = path.resolve(import.meta.dirname, '../dist/main.js');

loadEnvironmentFile();
await build();
process.argv[1] = PANEL;
await import(PANEL);
