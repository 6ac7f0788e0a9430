/** A function whose text is taken. */
type Part = (...values: never[]) => unknown;

/**
 * The program of a thread. The agent is one file and its tests are none, so there is no file to start it from: the text of
 * these functions is its program. They may use those of their own file and what they are given, nothing that is imported.
 * @param parts What they have for one another; bundling may give them other names.
 */
export function programOf(functions: Part[], parts: Record<string, Part>, serve: Part): string {
  const named = Object.entries(parts).map(([name, part]) => `${name}: ${part.name}`);
  return [
    "'use strict';",
    ...functions.map(String),
    "const { parentPort, workerData } = require('node:worker_threads');",
    `const parts = { ${named.join(', ')} };`,
    `${serve.name}(require, parentPort, { data: workerData, parts });`,
  ].join('\n');
}
