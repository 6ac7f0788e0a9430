/** Limits and times that both ends of a connection keep to. */

export const PROTOCOL_VERSION = 1;

/** The largest frame the panel takes from an agent. */
export const AGENT_FRAME_MAX_BYTES = 4 * 1024 * 1024;
/** The largest frame the panel takes from a client. */
export const CLIENT_FRAME_MAX_BYTES = 64 * 1024;
/** The largest frame an agent takes from the panel. */
export const PANEL_FRAME_MAX_BYTES = 4 * 1024 * 1024;

export const HEARTBEAT_INTERVAL_MS = 30_000;
/** So many missed heartbeats make a node offline. */
export const HEARTBEATS_MISSED_MAX = 3;
/** A socket that has not said who it is by then is closed. */
export const HANDSHAKE_TIMEOUT_MS = 10_000;

/** A console line longer than this is cut into several. */
export const CONSOLE_LINE_MAX_BYTES = 8 * 1024;
/** The agent sends what it has gathered of a console at least this often. */
export const CONSOLE_BATCH_MS = 25;
export const CONSOLE_BATCH_MAX_BYTES = 256 * 1024;
/** What an agent may have sent of one console without the panel's acknowledgement. */
export const CONSOLE_WINDOW_BYTES = 2 * 1024 * 1024;
/** The longest console command. */
export const CONSOLE_COMMAND_MAX_LENGTH = 4096;

/** WebSocket close codes: 1000–1015 are RFC 6455's, 4000–4999 are ours. */
export const CloseCode = {
  goingAway: 1001,
  badMessage: 4400,
  unauthorized: 4401,
  handshakeTimeout: 4408,
  replaced: 4409,
  tooSlow: 4413,
  tooManyMessages: 4429,
} as const;
