/** Why the demo cannot go on, in words for the person at the terminal. */
export class DemoFailure extends Error {
  override name = 'DemoFailure';
}
