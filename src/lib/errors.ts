/** Every error a client can meet: code → status and what it says when nobody says it better. */
const CATALOGUE = {
  'request.invalid': [400, 'The request is not valid.'],
  'request.too_large': [413, 'The request body is too large.'],
  'request.unsupported_media_type': [415, 'Send the body as application/json.'],
  'request.not_found': [404, 'There is no such route.'],
  'request.timeout': [408, 'The request did not arrive in time.'],
  'request.headers_too_large': [431, 'The request headers are too large.'],
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
  'permission.denied': [403, 'You do not have permission to perform this action'],
  'user.not_found': [404, 'User not found'],
  'location.not_found': [404, 'Location not found'],
  'location.name_taken': [409, 'A location with this name exists already.'],
  'location.in_use': [409, 'Nodes are still in this location: move or delete them first.'],
  'node.not_found': [404, 'Node not found'],
  'node.name_taken': [409, 'A node with this name exists already.'],
  'node.has_servers': [400, 'Cannot delete node with active servers'],
  'node.offline': [503, 'The node is offline. Nothing was changed; try again when its agent is connected.'],
  'node.insufficient_resources': [400, 'Node does not have enough resources'],
  'node.below_allocated': [409, 'The servers on this node already hold more than that.'],
  'template.not_found': [404, 'Template not found'],
  'template.name_taken': [409, 'A template with this name exists already.'],
  'template.in_use': [409, 'Servers still use this template: delete them first.'],
  'template.invalid': [400, 'The template is not valid.'],
  'server.not_found': [404, 'Server not found'],
  'server.variables_missing': [400, 'Missing required template variables'],
  'server.variable_invalid': [400, 'A template variable has a value that is not allowed.'],
  'server.busy': [409, 'Another action is under way on this server. Wait for it, or kill the server.'],
  'server.not_stopped': [409, 'Stop the server first.'],
  'server.not_running': [409, 'The server is not running.'],
  'server.already_running': [409, 'The server is already running.'],
  'server.not_installed': [409, 'The server is not installed yet: install it first.'],
  'server.suspended': [423, 'The server is suspended.'],
  'allocation.port_taken': [409, 'The port is in use by another server on this node.'],
  'allocation.port_out_of_range': [400, 'The port is outside the port range of the node.'],
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

/** An expected error. The door that meets it turns it into an answer; it is never logged as a fault. */
export class AppError extends Error {
  override name = 'AppError';
  readonly statusCode: number;

  /** @param message A sentence the user can act on; left out, the catalogue's. */
  constructor(
    readonly code: ErrorCode,
    message?: string,
    options?: ErrorOptions & { retryAfterSeconds?: number },
  ) {
    super(message ?? CATALOGUE[code][1], options);
    this.statusCode = CATALOGUE[code][0];
    this.retryAfterSeconds = options?.retryAfterSeconds;
  }

  /** Sent as `Retry-After`. */
  readonly retryAfterSeconds: number | undefined;
}
