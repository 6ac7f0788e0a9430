import { type EggObject, isEmpty } from './egg-object.js';
import type { Placeholders } from './placeholders.js';
import { type Report, refuse } from './report.js';

export interface Startup {
  /** Words of ours. Empty: the image's own command. */
  startCommand: string[];
  /** The line with `${NAME}` for each `{{NAME}}`, as images of eggs take it in the variable STARTUP. */
  line: string;
  /** Start commands that a user of Pelican may choose instead. */
  others: Record<string, string>;
}

/**
 * Images of eggs have an entrypoint that prepares things (a screen for Wine, Steam's updates, a console for games
 * without one) and then runs $STARTUP. Where there is one it has to run; in any other image the line runs itself.
 */
const ENTRYPOINT = `if grep -q STARTUP /entrypoint.sh 2>/dev/null; then exec "$(command -v bash || command -v ash)" /entrypoint.sh; fi`;

/** What a line needs a real shell for: operators, several commands, the output of another. */
const OPERATORS = /[\n;|&<>()`]/;
/** `${A//b/c}`, `${A,,}`, `${A:1}`, `$'…'`, `{a,b}`: only Bash has these. */
const ONLY_IN_BASH = /\$['"]|\$\{!|\$\{\w+[[,^/@]|\$\{\w+:[^-=?+]|\{[^{}$]*,/;
const PROGRAM = /^[\w.+/-]+$/;
const WORDS_OF_SHELLS = new Set(
  '. cd case command eval exec export for function if read select set source time trap ulimit umask until wait while'.split(
    ' ',
  ),
);

/**
 * Eggs' lines are written for a shell, with words made of values ({{ADDITIONAL_ARGS}}) and often with operators. So
 * they become a shell's script that gets its values as environment variables: a value may become several words, as
 * the egg means it, but never an operator. Not split into words of ours even when a line is plain, because then
 * the image's entrypoint would be skipped.
 *
 * Bash, which eggs are written for, is left out where any shell does: small images have none. Bash replaces itself
 * by the last program of a script and other shells need `exec` for that; with a shell in between, the signal
 * that stops a server would never reach the game.
 */
export function readStartup(egg: EggObject, placeholders: Placeholders, report: Report): Startup {
  const { chosen, others } = chooseLine(egg, report);
  const line = placeholders.translateScript(chosen, 'startup').replaceAll('\r\n', '\n').trim();
  if (line === '') {
    report.warn('startup', "is empty: the image's own command runs");
    return { startCommand: [], line, others };
  }
  if (/\$\{?SERVER_MEMORY\b/.test(line)) {
    report.warn(
      'startup',
      'gives the program all memory of the server. The limit here is exact, so it may be killed when it is full: ' +
        'leave it less, for example with -XX:MaxRAMPercentage=85 instead of -Xmx for Java',
    );
  }
  const startCommand = isOneProgram(line)
    ? ['sh', '-c', `${ENTRYPOINT}\nexec ${line}`]
    : ['/bin/bash', '-c', `${ENTRYPOINT}\n${line}`];
  return { startCommand, line, others };
}

/** A program with its arguments, quoted or not. */
function isOneProgram(line: string): boolean {
  const [first = ''] = line.split(/\s/, 1);
  if (!PROGRAM.test(first) || WORDS_OF_SHELLS.has(first)) return false;
  return !OPERATORS.test(line) && !ONLY_IN_BASH.test(line);
}

/** `startup`, or of `startup_commands { name: line }` the one called Default, else the first. */
function chooseLine(egg: EggObject, report: Report): { chosen: string; others: Record<string, string> } {
  const single = egg.text('startup');
  const commands = egg.object('startup_commands').rest();
  const lines = commands.map(([name, line]): [string, string] => {
    if (typeof line !== 'string') return refuse(`startup_commands.${name}`, 'must be text');
    return [name, line];
  });
  const chosen = lines.find(([name]) => name.toLowerCase() === 'default') ?? lines[0];
  const others = Object.fromEntries(lines.filter((line) => line !== chosen));
  if (!isEmpty(others)) {
    const names = Object.keys(others).join(', ');
    report.warn('startup_commands', `a template has one start command; kept in features only: ${names}`);
  }
  if (chosen && single && single !== chosen[1]) report.warn('startup', 'left out for startup_commands');
  return { chosen: chosen?.[1] ?? single, others };
}
