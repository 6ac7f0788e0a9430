import { type Report, refuse } from './report.js';

/**
 * An object of an egg, from which each reader takes the fields that it knows. What nobody took is reported in
 * the end, so that nothing of an egg is lost without a word.
 */
export interface EggObject {
  place(key: string): string;
  /** Undefined when there is none. */
  take(key: string): unknown;
  /** Empty when there is none or it is null; anything but text is refused. */
  text(key: string): string;
  /** Also 1 and 0, as the oldest eggs have it. */
  flag(key: string, otherwise: boolean): boolean;
  /** Empty when there is none or it is null; the empty list is what PHP makes of an empty object. */
  object(key: string): EggObject;
  list(key: string): unknown[];
  /** What is in it and was not taken, gone from it now. */
  rest(): [key: string, value: unknown][];
  /** Warns about everything that nobody took. */
  reportRest(report: Report): void;
}

export function createEggObject(value: unknown, place: string): EggObject {
  const waiting = new Map<string, unknown>(Object.entries(requireObject(value, place)));

  function take(key: string): unknown {
    const field = waiting.get(key);
    waiting.delete(key);
    return field ?? undefined;
  }

  function placeOf(key: string): string {
    return place === '' ? key : `${place}.${key}`;
  }

  function rest(): [string, unknown][] {
    const entries = [...waiting];
    waiting.clear();
    return entries;
  }

  return {
    place: placeOf,
    take,
    text(key) {
      const field = take(key) ?? '';
      return typeof field === 'string' ? field : refuse(placeOf(key), 'must be text');
    },
    flag(key, otherwise) {
      const field = take(key) ?? otherwise;
      if (field === true || field === 1 || field === '1' || field === 'true') return true;
      if (field === false || field === 0 || field === '0' || field === 'false' || field === '') return false;
      return refuse(placeOf(key), 'must be true or false');
    },
    object: (key) => createEggObject(take(key) ?? {}, placeOf(key)),
    list(key) {
      const field = take(key) ?? [];
      return Array.isArray(field) ? field : refuse(placeOf(key), 'must be a list');
    },
    rest,
    reportRest(report) {
      for (const [key, field] of rest()) {
        if (!isEmpty(field)) report.warn(placeOf(key), 'has no counterpart here and is left out');
      }
    },
  };
}

function requireObject(value: unknown, place: string): object {
  if (typeof value !== 'object' || value === null) return refuse(place, 'must be an object');
  if (!Array.isArray(value)) return value;
  return value.length === 0 ? {} : refuse(place, 'must be an object, not a list');
}

/** Nothing is lost when one of these is left out. */
export function isEmpty(value: unknown): boolean {
  if (value === undefined || value === null || value === '' || value === false) return true;
  return typeof value === 'object' && Object.keys(value).length === 0;
}
