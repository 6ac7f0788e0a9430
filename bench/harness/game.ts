/** Words that the game understands on its standard input: `write <lines a second> <seconds> <bytes a line>`, `stop`. */
export function writeCommand(linesPerSecond: number, seconds: number, lineBytes: number): string {
  return `write ${linesPerSecond} ${seconds} ${lineBytes}`;
}

/** Its lines look like those of `consoleLine`. */
export const GAME_SCRIPT = `
const padding = 'The quick brown fox jumps over the lazy dog while the server saves the world. '.repeat(60);
const now = () => Number(process.hrtime.bigint() / 1000n);
function line(number, bytes) {
  const begin = '[Server thread/INFO]: n=' + number + ' w=' + now() + ' ';
  return begin + padding.slice(0, Math.max(0, bytes - begin.length - 1)) + '\\n';
}
function write(rate, seconds, bytes) {
  const startedAt = now();
  let written = 0;
  const timer = setInterval(() => {
    const due = Math.min(rate * seconds, Math.floor(((now() - startedAt) * rate) / 1e6));
    let text = '';
    for (; written < due; written += 1) text += line(written + 1, bytes);
    if (text) process.stdout.write(text);
    if (written < rate * seconds) return;
    clearInterval(timer);
    console.log('done');
  }, 5);
}
require('node:readline').createInterface({ input: process.stdin }).on('line', (command) => {
  const [word, ...numbers] = command.split(' ');
  if (word === 'stop') process.exit(0);
  if (word === 'write') write(...numbers.map(Number));
});
console.log('ready');
`;
