import autocannon, { type Options } from 'autocannon';

export type RequestsRole = ReturnType<typeof createRequestsRole>;

/** HTTP requests from a process of their own, as fast as the other side answers. */
export function createRequestsRole() {
  return {
    /** @returns answers a second. Throws when one of them was not a success. */
    async send(options: Options): Promise<number> {
      const { requests, duration, non2xx, errors } = await autocannon(options);
      if (non2xx + errors > 0) throw new Error(`${options.url}: ${non2xx + errors} requests failed.`);
      return requests.total / duration;
    },
  };
}
