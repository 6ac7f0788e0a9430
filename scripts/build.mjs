import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

const ROOT = path.resolve(import.meta.dirname, '..');
const DIST = path.join(ROOT, 'dist');
const GENERATED = path.join(ROOT, 'src/generated');
/** A file that holds the hash of what its directory was made from. */
const STAMP = 'made-from';
const require = createRequire(import.meta.url);

/** dockerode asks for these to reach an engine through ssh and to build images, neither of which the agent does. */
const AGENT_STUBS = /^(ssh2|cpu-features|protobufjs|@grpc\/grpc-js|@grpc\/proto-loader)$/;

/** Optional accelerators, of ws and of the agent's way to files: they do without when, and only when, they are not found. */
const AGENT_EXTERNALS = ['bufferutil', 'utf-8-validate', 'koffi'];

/** What CommonJS packages in an ES module expect to find. */
const COMMONJS_BANNER = `import { createRequire as createRequireForBundle } from 'node:module';
const require = createRequireForBundle(import.meta.url);
const __filename = import.meta.filename;
const __dirname = import.meta.dirname;`;

/** Bring `dist/` up to date. Does nothing, quickly, when it is, or where only what runs is installed. */
export async function build() {
  if (!isInstalled('esbuild') || !isInstalled('prisma')) {
    if (existsSync(path.join(DIST, 'main.js'))) return;
    throw new Error(
      'There is no dist/, and nothing to build it with: run "npm ci" (with development packages) first.',
    );
  }
  generateClient();
  const stamp = hashOf(['src', 'agent', 'prisma', 'package.json', 'scripts/build.mjs']);
  if (readStamp(DIST) === stamp) return;
  // Built aside and then put in place, so that nobody starts from half of it.
  const next = `${DIST}.${process.pid}`;
  try {
    await Promise.all([transpilePanel(next), bundleClient(next), bundleAgent(next)]);
    for (const name of ['migrations', 'templates']) {
      cpSync(path.join(ROOT, 'prisma', name), path.join(next, 'prisma', name), { recursive: true });
    }
    writeFileSync(path.join(next, STAMP), stamp);
    replaceDirectory(DIST, next, stamp);
  } finally {
    rmSync(next, { recursive: true, force: true });
    // Its helper would stay beside the panel as long as that runs, with 200 MB.
    await (await import('esbuild')).stop();
  }
}

function generateClient() {
  const stamp = hashOf(['prisma/schema.prisma', 'prisma.config.ts', 'package.json']);
  if (readStamp(GENERATED) === stamp) return;
  const cli = path.join(path.dirname(require.resolve('prisma/package.json')), 'build/index.js');
  // What it says is part of the error when it fails, and nobody's concern when it does not.
  execFileSync(process.execPath, [cli, 'generate'], { cwd: ROOT, stdio: 'pipe' });
  writeFileSync(path.join(GENERATED, STAMP), stamp);
}

/** File by file: stack traces and `import.meta.url` stay what one expects. */
async function transpilePanel(outdir) {
  const esbuild = await import('esbuild');
  await esbuild.build({
    entryPoints: filesIn('src').filter((file) => file.endsWith('.ts') && !file.startsWith('src/generated')),
    absWorkingDir: ROOT,
    outbase: 'src',
    outdir,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    logLevel: 'warning',
  });
}

/** Prisma's client with its runtime: the package, 100 MB with what it draws in, is needed to build, not to run. */
async function bundleClient(outdir) {
  const esbuild = await import('esbuild');
  await esbuild.build({
    entryPoints: ['src/generated/prisma/client.ts'],
    absWorkingDir: ROOT,
    outbase: 'src',
    outdir,
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    banner: { js: COMMONJS_BANNER },
    logLevel: 'warning',
  });
}

/** One file that runs on any machine with Node: the panel hands it out to new nodes. */
async function bundleAgent(outdir) {
  const esbuild = await import('esbuild');
  await esbuild.build({
    entryPoints: ['agent/main.ts'],
    absWorkingDir: ROOT,
    outfile: path.join(outdir, 'catalyst-agent.mjs'),
    bundle: true,
    platform: 'node',
    format: 'esm',
    target: 'node20',
    legalComments: 'none',
    external: AGENT_EXTERNALS,
    banner: { js: `#!/usr/bin/env node\n${COMMONJS_BANNER}` },
    logLevel: 'warning',
    plugins: [
      {
        name: 'stubs',
        setup(plugin) {
          plugin.onResolve({ filter: AGENT_STUBS }, ({ path }) => ({ path, namespace: 'stub' }));
          plugin.onLoad({ filter: /.*/, namespace: 'stub' }, () => ({ contents: 'module.exports = {};' }));
        },
      },
    ],
  });
}

function replaceDirectory(directory, next, stamp) {
  const old = `${directory}.old.${process.pid}`;
  try {
    mkdirSync(directory, { recursive: true });
    renameSync(directory, old);
    renameSync(next, directory);
  } catch (error) {
    // Another process has built the same at the same time.
    if (readStamp(directory) !== stamp) throw error;
  } finally {
    rmSync(old, { recursive: true, force: true });
  }
}

function isInstalled(name) {
  return existsSync(path.join(ROOT, 'node_modules', name, 'package.json'));
}

function readStamp(directory) {
  try {
    return readFileSync(path.join(directory, STAMP), 'utf8');
  } catch {
    return null;
  }
}

/** Of names and contents, so that neither a checkout's times nor a clock matters. */
function hashOf(names) {
  const hash = createHash('sha256');
  for (const file of names.flatMap(filesIn))
    hash.update(`${file}\0`).update(readFileSync(path.join(ROOT, file)));
  return hash.digest('hex');
}

/** Relative to the project; a file is itself. */
function filesIn(name) {
  if (path.extname(name) !== '') return [name];
  return readdirSync(path.join(ROOT, name), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name !== STAMP)
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)))
    .sort();
}

if (process.argv[1] === import.meta.filename) await build();
