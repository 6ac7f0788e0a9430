import { randomUUID } from 'node:crypto';
import { STATUS_CODES } from 'node:http';
import type { Duplex } from 'node:stream';
import { asAppError } from './as-app-error.js';
import type { Log } from './log.js';

/** Answers an upgrade that will not happen, in plain HTTP, and ends the connection. */
export function refuseUpgrade(socket: Duplex, error: unknown, log: Log): void {
  const shown = asAppError(error);
  const requestId = randomUUID();
  if (shown.statusCode === 500) log.error({ requestId, err: error }, 'could not upgrade a connection');
  const { statusCode, code, message } = shown;
  const phrase = STATUS_CODES[statusCode] ?? 'Error';
  const body = JSON.stringify({ statusCode, error: phrase, message, code, requestId });
  socket.once('finish', () => socket.destroy());
  socket.end(
    `HTTP/1.1 ${statusCode} ${phrase}\r\nConnection: close\r\n` +
      `Content-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
