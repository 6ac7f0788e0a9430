import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

let panel: PanelWithDoors;
beforeAll(async () => {
  panel = await startPanelWithDoors();
});
afterAll(() => panel.close());

/** Everything that is answered until the panel closes the connection. */
function exchange(...requests: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(panel.port, '127.0.0.1', () => socket.write(requests.join('')));
    let answer = '';
    socket.on('data', (data) => {
      answer += data.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(answer));
  });
}

/** As `curl --http2` and Java's HttpClient send it. */
const OFFER = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';

test('a request that offers HTTP/2 is answered as if it did not, one after the other', async () => {
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'not his ä password' });
  const answer = await exchange(
    `GET /health HTTP/1.1\r\nHost: panel\r\n${OFFER}\r\n`,
    `POST /api/auth/login HTTP/1.1\r\nHost: panel\r\n${OFFER}Content-Type: application/json\r\n`,
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
    'GET /health HTTP/1.1\r\nHost: panel\r\nConnection: close\r\n\r\n',
  );
  expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 401', 'HTTP/1.1 200']);
  expect(answer).toContain('auth.invalid_credentials');
});

test('a WebSocket anywhere but at /ws is 404', async () => {
  const answer = await exchange(
    'GET /health HTTP/1.1\r\nHost: panel\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
});
