/** The little of autocannon that is used here; it brings no types of its own. */
declare module 'autocannon' {
  export interface Options {
    url: string;
    connections: number;
    duration: number;
    method?: string;
    headers?: Record<string, string>;
    body?: string;
  }

  export interface Result {
    requests: { total: number };
    /** In seconds. */
    duration: number;
    non2xx: number;
    errors: number;
  }

  const autocannon: (options: Options) => Promise<Result>;
  export default autocannon;
}
