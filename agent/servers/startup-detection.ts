/** Only the start of a line is looked at, so that a line cannot make the expression run for long. */
const DETECTION_MAX_LENGTH = 1024;
const LOOKED_AT_BYTES = 4 * DETECTION_MAX_LENGTH;
const ESCAPE = String.fromCharCode(27);
/** Colours and the like: ECMA-48 control sequences. */
const CONTROL_SEQUENCE = new RegExp(`${ESCAPE}\\[[0-?]*[ -/]*[@-~]`, 'g');

/** @throws SyntaxError when the template's expression is none. */
export function createStartupDetector(expression: string): (line: Buffer) => boolean {
  const pattern = new RegExp(expression, 'u');
  return (line) => {
    const text = line.subarray(0, LOOKED_AT_BYTES).toString('utf8').replace(CONTROL_SEQUENCE, '');
    return pattern.test(text.slice(0, DETECTION_MAX_LENGTH));
  };
}
