/** Bring `dist/` up to date. */
export function build(): Promise<void>;
