import { stripVTControlCharacters, styleText } from 'node:util';

const isTerminal = process.stdout.isTTY === true;

type Style = Parameters<typeof styleText>[0];

function styled(style: Style, text: string): string {
  return isTerminal ? styleText(style, text) : text;
}

interface FinishedStep {
  name: string;
  seconds: number;
}

export interface Output {
  /** Runs one step under a heading and says how long it took. */
  step<Result>(name: string, work: () => Promise<Result>): Promise<Result>;
  say(text: string): void;
  warn(text: string): void;
  /** One line of the game's own console. */
  consoleLine(text: string): void;
  /** How far something is; the same again is not repeated. */
  progress(text: string): void;
  summary(): void;
}

export function createOutput(): Output {
  const finished: FinishedStep[] = [];
  let lastProgress = '';
  return {
    async step(name, work) {
      console.log(`\n${styled('bold', `▸ ${name}`)}`);
      const startedAt = performance.now();
      const result = await work();
      const seconds = (performance.now() - startedAt) / 1000;
      finished.push({ name, seconds });
      console.log(styled('green', `  ✓ ${seconds.toFixed(2)} s`));
      return result;
    },
    say: (text) => console.log(`  ${text}`),
    warn: (text) => console.log(styled('yellow', `  ! ${text}`)),
    // A terminal shows a game's colours; a file has no use for them.
    consoleLine: (text) => console.log(`  ${styled('dim', '│')} ${isTerminal ? text : plain(text)}`),
    progress(text) {
      if (text === lastProgress) return;
      lastProgress = text;
      console.log(`  ${styled('cyan', text)}`);
    },
    summary() {
      console.log(`\n${styled('bold', 'Every step worked:')}`);
      const width = Math.max(...finished.map(({ name }) => name.length));
      for (const { name, seconds } of finished) {
        console.log(`  ${name.padEnd(width)} ${seconds.toFixed(2).padStart(8)} s`);
      }
    },
  };
}

export function printFailure(message: string): void {
  console.error(`\n${styled('red', `✗ ${message}`)}`);
}

/** Without colours. */
export function plain(text: string): string {
  return stripVTControlCharacters(text);
}
