import { z } from 'zod';
import { VARIABLE_NAME } from './templates.js';

/** The largest value of a PostgreSQL `integer`: more is refused by the schema, never by the database. */
export const INT4_MAX = 2_147_483_647;

const PAGE_MAX = 1_000_000;
const LIMIT_DEFAULT = 20;
const LIMIT_MAX = 100;
const SEARCH_MAX_LENGTH = 100;

/** An id as it comes in: whatever it is, one that does not exist is 404. */
export const Id = z.string().min(1).max(64);

export const ServerParams = z.object({ serverId: Id });
export const NodeParams = z.object({ nodeId: Id });

/** What people call things. */
export const Name = z
  .string()
  .trim()
  .min(1)
  .max(100)
  .regex(/^\P{Cc}*$/u, 'must not have control characters in it');
export const Description = z.string().trim().max(2000);

export const VariableName = z.string().regex(VARIABLE_NAME, 'is not the name of a variable');

/** A Date inside the panel, ISO 8601 outside. */
export const Timestamp = z.codec(z.iso.datetime(), z.date(), {
  decode: (text) => new Date(text),
  encode: (date) => date.toISOString(),
});

/** Whatever an agent claims, it fits the column. */
export function toInt4(value: number): number {
  return Math.max(-INT4_MAX, Math.min(Math.round(value), INT4_MAX));
}

/** A whole number that a PostgreSQL `integer` can hold. */
export function wholeNumber({ min = 0, max = INT4_MAX }: { min?: number; max?: number } = {}) {
  return z.int().min(min).max(max);
}

export const Port = wholeNumber({ min: 1, max: 65_535 });

/** A whole number in a query string: digits and nothing else. */
export function queryInteger({ min, max }: { min: number; max: number }) {
  return z
    .string()
    .regex(/^\d{1,10}$/, 'Invalid input: expected a whole number')
    .transform(Number)
    .pipe(z.int().min(min).max(max))
    .meta({ type: 'integer', minimum: min, maximum: max, pattern: undefined });
}

/** What every list takes. */
export const PageQuery = z.object({
  page: queryInteger({ min: 1, max: PAGE_MAX }).default(1),
  limit: queryInteger({ min: 1, max: LIMIT_MAX }).default(LIMIT_DEFAULT),
});
export type PageQuery = z.output<typeof PageQuery>;

/** What a list is searched for. */
export const Search = z.string().trim().max(SEARCH_MAX_LENGTH);

const Pagination = z.object({
  page: z.int(),
  limit: z.int(),
  total: z.int(),
  pages: z.int(),
});
type Pagination = z.output<typeof Pagination>;

/** What a service answers for a page of a list. */
export interface Page<Item> {
  items: Item[];
  total: number;
}

/** For routes that take no body: a client may still send `{}`. */
export const EmptyBody = z.strictObject({}).nullish();

/** `{ success: true, data }`. */
export function success<Data extends z.ZodType>(data: Data) {
  return z.object({ success: z.literal(true), data });
}

/** `{ success: true, data: […], pagination }`. */
export function successPage<Item extends z.ZodType>(item: Item) {
  return z.object({ success: z.literal(true), data: z.array(item), pagination: Pagination });
}

/** `{ success: true }`. */
export const Success = z.object({ success: z.literal(true) });

/** The body of a list's answer. */
export function pageBody<Item>({ items, total }: Page<Item>, { page, limit }: PageQuery) {
  const pagination: Pagination = { page, limit, total, pages: Math.ceil(total / limit) };
  return { success: true as const, data: items, pagination };
}

/** What a database query needs of a page. */
export function pageRange({ page, limit }: PageQuery): { skip: number; take: number } {
  return { skip: (page - 1) * limit, take: limit };
}
