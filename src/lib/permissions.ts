/** Every right there is. `*` and `resource.*` are the only wildcards. */
const CATALOGUE = {
  server: [
    'create',
    'read',
    'update',
    'delete',
    'install',
    'start',
    'stop',
    'restart',
    'kill',
    'transfer',
    'console',
    'logs.read',
    'suspend',
  ],
  file: ['read', 'write', 'delete'],
  backup: ['create', 'read', 'restore', 'delete'],
  task: ['create', 'read', 'update', 'delete', 'execute'],
  alert: ['read', 'resolve'],
  database: ['create', 'read', 'rotate', 'delete'],
  member: ['read', 'write'],
  admin: ['read', 'write'],
  'rate-limit': ['bypass'],
} as const;

type Catalogue = typeof CATALOGUE;
export type Permission = {
  [Resource in keyof Catalogue]: `${Resource}.${Catalogue[Resource][number]}`;
}[keyof Catalogue];

/** Whether a list of granted rights, wildcards included, contains one right. */
export function isGranted(granted: ReadonlySet<string>, wanted: Permission): boolean {
  if (granted.has(wanted) || granted.has('*')) return true;
  return granted.has(`${wanted.slice(0, wanted.indexOf('.'))}.*`);
}
