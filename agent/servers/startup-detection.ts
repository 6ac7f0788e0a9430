import { createContext, Script } from 'node:vm';

/** Only the start of a line is looked at, so that a line cannot make the expression run for long. */
const DETECTION_MAX_LENGTH = 1024;
const LOOKED_AT_BYTES = 4 * DETECTION_MAX_LENGTH;
/** Some expressions never come to an end on some lines, and nothing else happens here meanwhile. */
const DETECTION_MAX_MS = 500;
const ESCAPE = String.fromCharCode(27);
/** Colours and the like: ECMA-48 control sequences. */
const CONTROL_SEQUENCE = new RegExp(`${ESCAPE}\\[[0-?]*[ -/]*[@-~]`, 'g');

export interface StartupDetection {
  expression: string;
  /** Called after the chunk of output that the line is in. */
  onStarted(): void;
  /** The expression takes too long: nothing will be detected any more. */
  onGivenUp(): void;
}

/**
 * Gives a function to show each line to.
 * @throws SyntaxError when the template's expression is none.
 */
export function createStartupDetector(detection: StartupDetection): (line: Buffer) => void {
  const { expression, onStarted, onGivenUp } = detection;
  // Only code that runs in a context can be interrupted.
  const context = createContext({ pattern: new RegExp(expression, 'u'), lines: [] });
  const search = new Script('lines.some((line) => pattern.test(line))');
  let lines: string[] = [];

  /** All lines of a chunk at once, because being able to interrupt costs a thread each time. */
  function look() {
    context.lines = lines;
    lines = [];
    try {
      if (search.runInContext(context, { timeout: DETECTION_MAX_MS })) onStarted();
    } catch {
      onGivenUp();
    }
  }

  return (line) => {
    const text = line.subarray(0, LOOKED_AT_BYTES).toString('utf8').replace(CONTROL_SEQUENCE, '');
    if (lines.length === 0) queueMicrotask(look);
    lines.push(text.slice(0, DETECTION_MAX_LENGTH));
  };
}
