/** SQL about the server `s`. What the status is to clients: `shownStatus` of the protocol, for rows. */
export const SHOWN_STATUS = `CASE WHEN s."suspendedAt" IS NULL THEN s."status"::text ELSE 'suspended' END`;

export const IS_UP = `s."status" IN ('starting', 'running', 'stopping')`;

/** A server that is down uses nothing, whatever its last sample says. */
export const CPU_USAGE = `CASE WHEN ${IS_UP} THEN coalesce(s."cpuUsage", 0) ELSE 0 END`;
export const MEMORY_USAGE = `CASE WHEN ${IS_UP} THEN coalesce(s."memoryUsageMb", 0) ELSE 0 END`;
