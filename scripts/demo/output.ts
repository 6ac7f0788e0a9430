import { styleText } from 'node:util';

const isTerminal = process.stdout.isTTY === true;
const STEP_NAME_WIDTH = 34;

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
  summary(): void;
}

export function createOutput(): Output {
  const finished: FinishedStep[] = [];
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
    consoleLine: (text) => console.log(`  ${styled('dim', '│')} ${text}`),
    summary() {
      console.log(`\n${styled('bold', 'Every step worked:')}`);
      for (const { name, seconds } of finished) {
        console.log(`  ${name.padEnd(STEP_NAME_WIDTH)} ${seconds.toFixed(2).padStart(8)} s`);
      }
    },
  };
}

export function printFailure(message: string): void {
  console.error(`\n${styled('red', `✗ ${message}`)}`);
}
