import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import { DemoFailure } from './failure.js';

const DEFAULT_EMAIL = 'admin@catalyst.local';

/** The administrator's, from the environment, else asked for on the terminal. */
export async function readCredentials(): Promise<{ email: string; password: string }> {
  const email = process.env.ADMIN_EMAIL || DEFAULT_EMAIL;
  const password = process.env.ADMIN_PASSWORD || (await askPassword(email));
  return { email, password };
}

async function askPassword(email: string): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new DemoFailure(
      `The demo signs in as ${email} and needs the password that "npm start" printed at its first start.\n` +
        '  Pass it in the environment: ADMIN_PASSWORD=… npm run demo',
    );
  }
  process.stdout.write(`  Password of ${email} ("npm start" printed it at its first start): `);
  // With a terminal, readline echoes what is typed to its output: this one forgets it.
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  const terminal = createInterface({ input: process.stdin, output: silent, terminal: true });
  const interrupted = new Promise<never>((_, reject) => {
    terminal.on('SIGINT', () => reject(new DemoFailure('Interrupted.')));
  });
  try {
    return await Promise.race([terminal.question(''), interrupted]);
  } finally {
    terminal.close();
    process.stdout.write('\n');
  }
}
