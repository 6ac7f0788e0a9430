import { mkdirSync, rmSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from './build.mjs';
import { loadEnvironmentFile } from './environment.mjs';

/** `node scripts/run.mjs FILE.ts …` runs a TypeScript program of this project with the words that follow. */
const [file, ...words] = process.argv.slice(2);
if (file === undefined) throw new Error('Say which file: node scripts/run.mjs FILE.ts');
loadEnvironmentFile();
await build();

const ROOT = path.resolve(import.meta.dirname, '..');
// Inside node_modules, so that packages are found from there.
const directory = path.join(ROOT, 'node_modules/.cache/catalyst');
const output = path.join(directory, `${path.basename(file, '.ts')}-${process.pid}.mjs`);

mkdirSync(directory, { recursive: true });
const esbuild = await import('esbuild');
await esbuild.build({
  entryPoints: [path.resolve(file)],
  outfile: output,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'esm',
  target: 'node20',
  sourcemap: 'inline',
  logLevel: 'warning',
  plugins: [{ name: 'own-place', setup: keepOwnPlaces }],
});
await esbuild.stop();
process.on('exit', () => rmSync(output, { force: true }));
process.setSourceMapsEnabled(true);
process.argv = [process.execPath, path.resolve(file), ...words];
await import(pathToFileURL(output).href);

/** In the bundle, `import.meta` still means the file that it was written in. */
function keepOwnPlaces(plugin) {
  plugin.onLoad({ filter: /\.ts$/ }, async ({ path: source }) => ({
    loader: 'ts',
    contents: (await readFile(source, 'utf8'))
      .replaceAll('import.meta.url', JSON.stringify(pathToFileURL(source).href))
      .replaceAll('import.meta.dirname', JSON.stringify(path.dirname(source)))
      .replaceAll('import.meta.filename', JSON.stringify(source)),
  }));
}
