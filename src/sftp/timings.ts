/** What takes how long; tests give shorter ones. */
export interface SftpTimings {
  /** From the first byte to being signed in. */
  loginGraceMs: number;
  /** Nobody asked for anything. */
  idleMaxMs: number;
  /** A client that does not answer `keepalivesMissedMax` of these is gone. */
  keepaliveIntervalMs: number;
  keepalivesMissedMax: number;
  /** What has ended (a session, an account, a right) ends what came of it within two of these, whoever did it. */
  checkIntervalMs: number;
  /** Changes of files are recorded so long after the first of them. */
  recordAfterMs: number;
  /** What could not be recorded is tried again after this. */
  recordAgainMs: number;
}

export const SFTP_TIMINGS: SftpTimings = {
  loginGraceMs: 30_000,
  idleMaxMs: 30 * 60_000,
  keepaliveIntervalMs: 30_000,
  keepalivesMissedMax: 3,
  checkIntervalMs: 800,
  recordAfterMs: 5000,
  recordAgainMs: 2000,
};
