/** Roles that every panel has and that are asked for by their name. */

export const ADMINISTRATOR_ROLE = 'Administrator';
/** Of everybody who registers. */
export const REGISTERED_ROLE = 'User';
