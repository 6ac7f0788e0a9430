/** Told to the panel in the handshake. */
export const AGENT_VERSION = '0.1.0';
