/**
 * A data connection begins as a WebSocket, and is one for whatever forwards it: either side sends the head of one binary
 * message of 2^63 - 1 bytes, as RFC 6455 (5.2) has it, the agent's with a mask of zeros. All that follows is HTTP/2. So
 * Node's HTTP/2 has the socket itself; with a frame around each piece its bytes would be copied through JavaScript, which
 * costs more than all the rest of their way, and a connection that breaks in the middle of a frame can end the process
 * with an assertion of Node's.
 */
const LENGTH = [0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
const NO_MASK = [0, 0, 0, 0];

/** What each side sends before its HTTP/2. */
export const ENDLESS_HEADS = {
  panel: Uint8Array.of(0x82, 0x7f, ...LENGTH),
  agent: Uint8Array.of(0x82, 0xff, ...LENGTH, ...NO_MASK),
};

/** What the panel's answer is computed with, RFC 6455, 4.2.2: base64(SHA-1(key + this)). */
export const WEB_SOCKET_ACCEPTANCE = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
