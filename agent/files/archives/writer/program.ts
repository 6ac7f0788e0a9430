import { programOf } from '../thread-program.js';
import { DIRECTORIES } from './directories.js';
import { FILES } from './files.js';
import { SERVING } from './serving.js';
import type { Parts } from './state.js';

const { makeDirectory, describe, directoryOf, closeDirectories, finishDirectories, throwIfStopped } =
  DIRECTORIES;
const { create, write, finishFile, copy, makeLink } = FILES;
const PARTS: Parts = {
  makeDirectory,
  describe,
  directoryOf,
  closeDirectories,
  finishDirectories,
  throwIfStopped,
  create,
  write,
  finishFile,
  copy,
  makeLink,
  tell: SERVING.tell,
};
const FUNCTIONS = [DIRECTORIES, FILES, SERVING].flatMap((functions) => Object.values(functions));

/** What is done by the thread that writes: plain calls that wait, a fraction of the cost of the same through promises. */
export const PROGRAM = programOf(FUNCTIONS, { ...PARTS }, SERVING.serve);
