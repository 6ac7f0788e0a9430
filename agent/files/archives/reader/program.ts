import { COPYING } from './copying.js';
import { LOOKING } from './looking.js';
import { SERVING } from './serving.js';
import type { Parts } from './state.js';

const { enter, more, leave, look, count, beginCounting, stopCounting, doneSoFar } = LOOKING;
const { flush, copyAll } = COPYING;
const PARTS: Parts = {
  ...{ enter, more, leave, look, count, beginCounting, stopCounting, doneSoFar },
  ...{ flush, copyAll },
};
const FUNCTIONS = [LOOKING, COPYING, SERVING].flatMap((functions) => Object.values(functions));

/**
 * What is done by the thread that reads: plain calls that wait, a fraction of the cost of the same through promises. The agent
 * is one file and its tests are none, so there is no file to start it from: the text of these functions is its program. They
 * may use those of their own file and what they are given, nothing that is imported. Bundling may give them other names.
 */
export const PROGRAM = [
  "'use strict';",
  ...FUNCTIONS.map(String),
  "const { parentPort, workerData } = require('node:worker_threads');",
  `const parts = { ${Object.entries(PARTS)
    .map(([name, part]) => `${name}: ${part.name}`)
    .join(', ')} };`,
  `${SERVING.serve.name}(require, parentPort, { data: workerData, parts });`,
].join('\n');
