type WithoutUndefined<Value> = { [Key in keyof Value]?: Exclude<Value[Key], undefined> };

/** Only the fields that were given: for changes, where what is left out stays. */
export function withoutUndefined<Value extends object>(value: Value): WithoutUndefined<Value> {
  return Object.fromEntries(
    Object.entries(value).filter(([, field]) => field !== undefined),
  ) as WithoutUndefined<Value>;
}
