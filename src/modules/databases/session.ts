import type { Socket } from 'node:net';
import type { DatabaseEngine } from '../../generated/prisma/enums.js';

/** How the panel reaches a database host. */
export interface HostSettings {
  engine: DatabaseEngine;
  host: string;
  port: number;
  username: string;
  password: string;
  useTls: boolean;
}

/** A database and the one user that it is for. */
export interface Account {
  name: string;
  username: string;
  password: string;
  /** Where the user may come from, as MySQL writes it; `%`: from anywhere. */
  remote: string;
  maxConnections: number;
}

/** What a connection to a host is made of; all of it ends with the operation. */
export interface Line {
  /** A socket that is not connected yet. */
  dial(): Socket;
  /** Throws when the time of the operation is over: before each statement, lest one is sent by a panel that slept. */
  requireTime(): void;
}

/** A connection to a database host. Everything throws `HostFailure`. */
export interface HostSession {
  /** The version of the server. Throws when the account lacks a right that can be looked up. */
  inspect(): Promise<string>;
  /** Throws `taken` when the database or the user exists, also in another case. */
  requireAbsent(account: Account): Promise<void>;
  /** This, `createDatabase` and `grant` together make what the user is given. Each fails if its thing exists. */
  createUser(account: Account): Promise<void>;
  createDatabase(account: Account): Promise<void>;
  /** All rights on the one database, and nobody else has any. */
  grant(account: Account): Promise<void>;
  /** The account's password from now on. Whoever is connected is not any more. */
  setPassword(account: Account): Promise<void>;
  dropUser(account: Account): Promise<void>;
  /**
   * Drops database and user with everything in them, as far as they exist. False: there is a database of that name, but
   * it is not this user's, as when the host is another than it was; it is left alone.
   */
  remove(account: Account): Promise<boolean>;
  /** The same for an account that never got ready, so that its user says nothing about whose the database is. */
  discard(account: Account): Promise<boolean>;
  close(): Promise<void>;
}
