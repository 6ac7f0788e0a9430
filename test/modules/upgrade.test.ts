import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type PanelWithDoors, startPanelWithDoors } from '../helpers/doors.js';

let panel: PanelWithDoors;
beforeAll(async () => {
  panel = await startPanelWithDoors();
});
afterAll(() => panel.close());

/** Everything that is answered until the panel closes the connection. */
function exchange(...parts: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(panel.port, '127.0.0.1', () => socket.write(parts.join('')));
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

test('a request that offers HTTP/2 is answered as if it did not', async () => {
  expect(await exchange(`GET /health HTTP/1.1\r\nHost: panel\r\n${OFFER}\r\n`)).toMatch(/^HTTP\/1\.1 200 /);
  const body = JSON.stringify({ email: 'nobody@example.com', password: 'not his ä password' });
  const answer = await exchange(
    `POST /api/auth/login HTTP/1.1\r\nHost: panel\r\n${OFFER}Content-Type: application/json\r\n`,
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
  expect(answer).toMatch(/^HTTP\/1\.1 401 /);
  expect(answer).toContain('auth.invalid_credentials');
});

test('a WebSocket anywhere but at /ws is 404 in the form of all errors', async () => {
  const answer = await exchange(
    'GET /health HTTP/1.1\r\nHost: panel\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n',
  );
  expect(answer).toMatch(/^HTTP\/1\.1 404 /);
  expect(JSON.parse(answer.split('\r\n\r\n')[1] ?? '')).toEqual({
    statusCode: 404,
    error: 'Not Found',
    message: 'There is no such route.',
    code: 'request.not_found',
    requestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
  });
});
