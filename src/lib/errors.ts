/** Every error a client can meet: code → status and what it says when nobody says it better. */
const CATALOGUE = {
  'request.invalid': [400, 'The request is not valid.'],
  'request.too_large': [413, 'The request body is too large.'],
  'request.unsupported_media_type': [415, 'Send the body as application/json.'],
  'request.not_found': [404, 'There is no such route.'],
  'request.timeout': [408, 'The request did not arrive in time.'],
  'request.headers_too_large': [431, 'The request headers are too large.'],
  'rate_limit.exceeded': [429, 'Rate limit exceeded. Try again in a minute.'],
  'auth.required': [401, 'Sign in: send "Authorization: Bearer <token>".'],
  'auth.invalid_token': [401, 'Invalid token'],
  'auth.invalid_credentials': [401, 'Invalid credentials'],
  'auth.registration_closed': [
    403,
    'Registration is closed on this panel. Ask its administrator for an account.',
  ],
  'auth.email_taken': [400, 'Email already exists'],
  'auth.username_taken': [400, 'Username already exists'],
  'auth.busy': [503, 'Too many sign-ins at the moment. Try again in a few seconds.'],
  'auth.session_required': [403, 'This takes a signed-in session: an API key may not do it.'],
  'auth.two_factor_required': [401, 'Send the code of your authenticator app to POST /api/auth/two-factor.'],
  'auth.two_factor_invalid': [401, 'The code is not valid (any more).'],
  'auth.two_factor_enabled': [409, 'Two-factor authentication is on already.'],
  'auth.two_factor_disabled': [409, 'Two-factor authentication is not on.'],
  'auth.wrong_password': [400, 'The current password is not right.'],
  'auth.too_many_attempts': [
    429,
    'Too many attempts to sign in to this account. Try again in a few seconds.',
  ],
  'auth.session_not_found': [404, 'Session not found'],
  'api_key.not_found': [404, 'API key not found'],
  'api_key.too_many': [409, 'This account has as many API keys as it may have: revoke one first.'],
  'ssh_key.not_found': [404, 'SSH key not found'],
  'ssh_key.invalid': [400, 'This is not a public key in the format of OpenSSH.'],
  'ssh_key.taken': [409, 'This SSH key is in use already.'],
  'ssh_key.too_many': [409, 'This account has as many SSH keys as it may have: remove one first.'],
  'permission.denied': [403, 'You do not have permission to perform this action'],
  'permission.not_held': [403, 'You cannot give, change or take away rights that you do not have yourself.'],
  'user.not_found': [404, 'User not found'],
  'user.disabled': [409, 'The user is disabled.'],
  'user.owns_servers': [409, 'The user still owns servers: delete them or give them to somebody else first.'],
  'user.last_administrator': [409, 'This is the last administrator: there has to be another one first.'],
  'user.is_self': [409, 'This is your own account: change it under /api/auth, or ask another administrator.'],
  'role.not_found': [404, 'Role not found'],
  'role.name_taken': [409, 'A role with this name exists already.'],
  'role.in_use': [409, 'Users still have this role: take it from them first.'],
  'role.built_in': [409, 'This role belongs to the panel: it cannot be deleted or renamed.'],
  'location.not_found': [404, 'Location not found'],
  'location.name_taken': [409, 'A location with this name exists already.'],
  'location.in_use': [409, 'Nodes are still in this location: move or delete them first.'],
  'node.not_found': [404, 'Node not found'],
  'node.name_taken': [409, 'A node with this name exists already.'],
  'node.has_servers': [400, 'Cannot delete node with active servers'],
  'node.offline': [503, 'The node is offline. Nothing was changed; try again when its agent is connected.'],
  'node.files_unavailable': [503, 'The agent of this node cannot give access to files: update it.'],
  'node.insufficient_resources': [400, 'Node does not have enough resources'],
  'node.below_allocated': [409, 'The servers on this node already hold more than that.'],
  'node.in_maintenance': [409, 'The node is in maintenance: it takes no new servers at the moment.'],
  'deployment_token.not_found': [404, 'Deployment token not found'],
  'ip_pool.not_found': [404, 'IP pool not found'],
  'ip_pool.name_taken': [409, 'The node has a pool for this network already.'],
  'ip_pool.overlap': [409, 'The network overlaps with that of another pool of the node.'],
  'ip_pool.in_use': [409, 'Servers still hold addresses of this pool: delete them first.'],
  'ip_pool.invalid': [400, 'The pool is not valid.'],
  'ip_pool.exhausted': [409, 'The pool has no free address left.'],
  'ip_pool.address_unusable': [400, 'The pool does not give this address away.'],
  'ip_pool.address_taken': [409, 'The address is in use by another server.'],
  'template.not_found': [404, 'Template not found'],
  'template.name_taken': [409, 'A template with this name exists already.'],
  'template.in_use': [409, 'Servers still use this template: delete them first.'],
  'template.invalid': [400, 'The template is not valid.'],
  'template.import_failed': [400, 'This is not an egg or a template that can be imported.'],
  'server.not_found': [404, 'Server not found'],
  'server.variables_missing': [400, 'Missing required template variables'],
  'server.variable_invalid': [400, 'A template variable has a value that is not allowed.'],
  'server.busy': [409, 'Another action is under way on this server. Wait for it, or kill the server.'],
  'server.not_stopped': [409, 'Stop the server first.'],
  'server.not_running': [409, 'The server is not running.'],
  'server.already_running': [409, 'The server is already running.'],
  'server.not_installed': [409, 'The server is not installed yet: install it first.'],
  'server.suspended': [423, 'The server is suspended: only who may suspend it can lift that.'],
  'server.already_suspended': [409, 'Server is already suspended'],
  'server.not_suspended': [409, 'Server is not suspended'],
  'server.being_deleted': [409, 'The server is being deleted.'],
  'server.transfer_failed': [400, 'The server cannot be transferred.'],
  'server.transfer_unavailable': [
    501,
    'A server that has been installed cannot be moved: this version does not take its files along.',
  ],
  'server.no_node': [400, 'No node has room for the server.'],
  'member.not_found': [404, 'Member not found'],
  'member.exists': [409, 'The user is a member of this server already.'],
  'member.is_owner': [409, 'The user owns this server: an owner is not a member.'],
  'member.too_many': [409, 'The server has as many members as it may have: remove one first.'],
  'allocation.too_many': [409, 'The server has as many allocations as it may have: remove one first.'],
  'allocation.not_found': [404, 'Allocation not found'],
  'allocation.exists': [409, 'The container port has an allocation already.'],
  'allocation.is_primary': [409, 'The primary allocation cannot be removed: make another one primary first.'],
  'allocation.port_taken': [409, 'The port is in use by another server on this node.'],
  'allocation.port_out_of_range': [400, 'The port is outside the port range of the node.'],
  'file.not_found': [404, 'There is no such file or directory.'],
  'file.exists': [409, 'Something with this name exists already.'],
  'file.not_directory': [400, 'A part of the path is not a directory.'],
  'file.is_directory': [400, 'This is a directory, not a file.'],
  'file.not_empty': [409, 'The directory is not empty.'],
  'file.outside': [400, 'The path leads out of the directory of the server.'],
  'file.not_regular': [400, 'This is neither an ordinary file nor a directory.'],
  'file.too_large': [413, 'The file is too large.'],
  'file.name_invalid': [400, 'This is not the name of a file.'],
  'file.quota_exceeded': [413, 'The server has no disk space left: delete some of its files first.'],
  'file.no_space': [507, 'The disk of the node is full. Its administrator has to make room.'],
  'file.busy': [409, 'The file is in use or changes right now. Try again in a moment.'],
  'file.denied': [403, 'The node may not do this to the file.'],
  'file.handle_invalid': [400, 'The file is not open any more: open it again.'],
  'file.failed': [502, 'The node could not do this. Try again, or ask its administrator to look at its log.'],
  'archive.hostile_entry': [400, 'The archive has something in it that must not be unpacked.'],
  'archive.unreadable': [400, 'This is not an archive that can be read, or it is damaged.'],
  'archive.unsupported': [400, 'The node cannot make or read archives of this kind.'],
  'url.refused': [400, 'Files are fetched only from public addresses, by http or https.'],
  'url.failed': [502, 'The file could not be fetched from there.'],
  'upload.not_found': [404, 'There is no such upload (any more): begin a new one.'],
  'upload.offset_mismatch': [409, 'The upload is at another place: ask where, and go on from there.'],
  'upload.incomplete': [409, 'The rest of the file has not been sent yet.'],
  'upload.checksum_mismatch': [400, 'What has arrived is not what was sent: upload the file again.'],
  'file_task.not_found': [404, 'There is no such task (any more).'],
  'file_task.cancelled': [409, 'The task was cancelled. Nothing of it is left.'],
  'file_task.too_many': [429, 'Too many tasks are under way on this server. Wait for one to end.'],
  'file.range_invalid': [416, 'The file does not have this range. Several ranges at once are not served.'],
  'database.not_found': [404, 'Database not found'],
  'database.name_taken': [409, 'The host has a database or user of this name already: take another name.'],
  'database.limit_reached': [409, 'The server has as many databases as it may have.'],
  'database_host.not_found': [404, 'Database host not found'],
  'database_host.name_taken': [409, 'A database host with this name exists already.'],
  'database_host.in_use': [409, 'Servers still have databases on this host: delete them first.'],
  'database_host.unsuitable': [400, 'The account cannot do on the database host what the panel needs.'],
  'database_host.full': [409, 'The database host has no room for another database.'],
  'database_host.unavailable': [
    503,
    'The database host does not answer. Nothing was changed; try again later.',
  ],
  'agent.not_built': [
    503,
    'This panel has no agent to hand out. Its administrator has to run "npm run build".',
  ],
  'agent.rejected': [409, 'The agent refused the command.'],
  'gateway.frame_invalid': [400, 'The message is not valid.'],
  'gateway.type_unknown': [400, 'Unknown message type.'],
  'gateway.too_many_messages': [429, 'Too many messages.'],
  'gateway.too_many_connections': [429, 'Too many connections at once. Try again in a moment.'],
  'gateway.too_slow': [400, 'The connection took nothing for a minute. Connect again.'],
  'gateway.too_many_subscriptions': [400, 'Too many subscriptions on one connection.'],
  'database.unavailable': [503, 'The database does not answer. Try again in a moment.'],
  'panel.busy': [503, 'Too many servers are being created at the moment. Try again in a few seconds.'],
  'panel.stopping': [503, 'The panel is shutting down. Try again in a moment.'],
  'internal.error': [500, 'Something went wrong on our side. The request id helps to find it in the log.'],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrorCode = keyof typeof CATALOGUE;

/** What an error may tell a program beside its code. */
export interface ErrorDetails {
  /** For the second step of a login. */
  ticket?: string;
  /** Seconds until the ticket expires. */
  expiresIn?: number;
}

/** An expected error. The door that meets it turns it into an answer; it is never logged as a fault. */
export class AppError extends Error {
  override name = 'AppError';
  readonly statusCode: number;

  /** @param message A sentence the user can act on; left out, the catalogue's. */
  constructor(
    readonly code: ErrorCode,
    message?: string,
    options?: ErrorOptions & { retryAfterSeconds?: number; details?: ErrorDetails },
  ) {
    super(message ?? CATALOGUE[code][1], options);
    this.statusCode = CATALOGUE[code][0];
    this.retryAfterSeconds = options?.retryAfterSeconds;
    this.details = options?.details;
  }

  /** Sent as `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;
  /** Sent beside the fields that every error has. */
  readonly details: ErrorDetails | undefined;
}
