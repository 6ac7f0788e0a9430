/**
 * The protocol wants the new link first and what it leads to second. OpenSSH has it the other way round, and so have
 * those who follow it whoever they talk to; others do as the draft says unless the server is OpenSSH, which this one is
 * not. ssh2 knows of OpenSSH and Dropbear only.
 */
const FOLLOWERS_OF_OPENSSH = /^(?:paramiko|AsyncSSH|JSCH|Go\b|rclone)/i;

/** @param software As the client names itself: `OpenSSH_9.2p1`, `paramiko_2.12.0`. */
export function hasReversedLinks(software: string): boolean {
  return FOLLOWERS_OF_OPENSSH.test(software);
}
