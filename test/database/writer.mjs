// A panel, as far as its database goes: starts the embedded server of a data directory, says where it is, and
// then writes row after row, saying the number of each that was acknowledged.
import pg from 'pg';
import { startEmbedded } from '../../dist/database/embedded.js';

const log = { debug() {}, info() {}, warn() {}, error() {} };
const embedded = await startEmbedded({ dataDir: process.argv[2], log });
process.stdout.write(`${JSON.stringify({ pid: embedded.pid(), url: embedded.url })}\n`);
const client = new pg.Client({ connectionString: embedded.url });
await client.connect();
await client.query('CREATE TABLE IF NOT EXISTS written (number int PRIMARY KEY)');
for (let number = 1; ; number += 1) {
  await client.query('INSERT INTO written VALUES ($1)', [number]);
  process.stdout.write(`${number}\n`);
}
