import type { Permission } from '../../src/lib/permissions.js';
import type { Answer } from '../helpers/panel.js';
import { fillPath, type Operation } from './operations.js';
import type { Caller, World } from './world.js';

/** One request of the matrix or the sweep, and everything that was made for it alone. */
export interface Cell {
  world: World;
  /** Who asks; for anonymous requests an account that has nothing to do with anything. */
  caller: Caller;
  /** The server in the path. */
  server: { id: string; uuid: string; name: string };
}

export interface RouteRequest {
  /** Of the path; `serverId` is there by itself. */
  parameters?: Record<string, string>;
  query?: Record<string, string>;
  body?: unknown;
  headers?: Record<string, string>;
}

/** How to make a request to one route that succeeds for who may make it. */
export interface Recipe {
  /** Columns of the server in the path. */
  server?: Record<string, unknown>;
  request?(cell: Cell): RouteRequest | Promise<RouteRequest>;
  /** Makes another server such that it can be asked about what only the first one has. */
  prepareOther?(cell: Cell): Promise<unknown>;
  /** Of the answer when it succeeds. */
  status?: number;
  /** The same of a server that is suspended already, where that is a mistake. */
  statusWhileSuspended?: number;
  /** Rights that the route takes beside the one that it declares. */
  needs?: readonly Permission[];
  /** Whether success writes an audit row. Left out: whenever the method may change something. */
  isAudited?: boolean;
}

export type Recipes = Record<string, Recipe>;

export async function prepare(recipe: Recipe, cell: Cell): Promise<RouteRequest> {
  return (await recipe.request?.(cell)) ?? {};
}

/** @param token Null: anonymous. */
export function ask(
  world: World,
  operation: Operation,
  { parameters, query, body, headers }: RouteRequest,
  token: string | null,
): Promise<Answer> {
  const path = fillPath(operation.path, parameters ?? {});
  const search = query ? `?${new URLSearchParams(query)}` : '';
  return world.panel.call(operation.method, `${path}${search}`, body, token ?? undefined, headers);
}
