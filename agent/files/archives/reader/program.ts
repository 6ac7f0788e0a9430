import { programOf } from '../thread-program.js';
import { COPYING } from './copying.js';
import { LOOKING } from './looking.js';
import { SERVING } from './serving.js';
import type { Parts } from './state.js';

const { enter, more, leave, look, count, beginCounting, stopCounting, doneSoFar } = LOOKING;
const { flush, copyAll } = COPYING;
const PARTS: Parts = {
  enter,
  more,
  leave,
  look,
  count,
  beginCounting,
  stopCounting,
  doneSoFar,
  flush,
  copyAll,
};
const FUNCTIONS = [LOOKING, COPYING, SERVING].flatMap((functions) => Object.values(functions));

/** What is done by the thread that reads: plain calls that wait, a fraction of the cost of the same through promises. */
export const PROGRAM = programOf(FUNCTIONS, { ...PARTS }, SERVING.serve);
