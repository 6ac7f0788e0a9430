/** So many e-mails are remembered; then the one that was not tried for longest is forgotten. */
const REMEMBERED_MAX = 20_000;

interface Failed {
  failures: number;
  lastAtMs: number;
}

/** Failed logins with e-mails that no account has. */
export function createUnknownAccounts({ forgetAfterMs }: { forgetAfterMs: number }) {
  const failed = new Map<string, Failed>();

  function failures(emailKey: string): number {
    const entry = failed.get(emailKey);
    return entry && entry.lastAtMs > Date.now() - forgetAfterMs ? entry.failures : 0;
  }

  return {
    failures,
    fail(emailKey: string): void {
      const entry = { failures: failures(emailKey) + 1, lastAtMs: Date.now() };
      // Maps keep the order of insertion: the first is the one that was not heard of for longest.
      failed.delete(emailKey);
      failed.set(emailKey, entry);
      if (failed.size <= REMEMBERED_MAX) return;
      for (const oldest of failed.keys()) {
        failed.delete(oldest);
        break;
      }
    },
  };
}
