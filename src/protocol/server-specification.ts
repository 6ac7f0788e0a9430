import { z } from 'zod';

/** How a server is named, built and run, as the panel tells agents. Fields marked "added" are not in the API document. */

const Id = z.string().min(1).max(64);
const Count = z.number().int().nonnegative();

/** Ids and names are the only things of a server that name anything on the node. */
export const ServerAddress = z.object({
  serverId: Id,
  serverUuid: z.uuid(),
  // added
  commandId: Id.optional(),
  suspended: z.boolean().optional(),
});

const PortBinding = z.object({
  hostIp: z.string().max(45),
  hostPort: z.number().int().min(1).max(65535),
  containerPort: z.number().int().min(1).max(65535),
});
export type PortBinding = z.infer<typeof PortBinding>;

const EnvironmentVariables = z.record(z.string().max(128), z.string().max(8192));

/** What a value of a configuration file becomes: the same always, or by what it is now (`*`: anything else). */
export const ConfigValue = z.union([z.string().max(8192), z.number(), z.boolean()]);
export type ConfigValue = z.infer<typeof ConfigValue>;

/** Values that the agent sets in a file of the server before each start; the rest of the file stays as it is. */
export const ConfigFile = z.object({
  /** Inside the server's directory. */
  path: z.string().min(1).max(256),
  parser: z.enum(['file', 'properties', 'ini', 'yaml', 'json', 'xml']),
  /** Key or path of keys (`a.b`, `a[0].b`, `a.*.b`) → value. */
  values: z.record(z.string().max(200), z.union([ConfigValue, z.record(z.string().max(8192), ConfigValue)])),
});
export type ConfigFile = z.infer<typeof ConfigFile>;

/** A network of the node in which a server has an address of its own. The agent makes it when it is not there. */
export const ServerNetwork = z.object({
  name: z.string().max(64),
  driver: z.enum(['bridge', 'macvlan', 'ipvlan']),
  parentInterface: z.string().max(64).nullable(),
  cidr: z.string().max(64),
  gateway: z.string().max(64).nullable(),
  ipAddress: z.string().max(64),
});
export type ServerNetwork = z.infer<typeof ServerNetwork>;

/** How to build and run a server, complete: the agent keeps no other knowledge of templates. */
export const ServerSpecification = ServerAddress.extend({
  template: z.object({
    dockerImage: z.string().max(512),
    /** The words of `command`, joined for agents that split them themselves. */
    startCommand: z.string().max(16_384).optional(),
    environment: EnvironmentVariables.optional(),
    // added
    stopCommand: z.string().max(1024).nullable().optional(),
    stopSignal: z.string().max(16).nullable().optional(),
    installImage: z.string().max(512).nullable().optional(),
    installScript: z.string().max(65_536).nullable().optional(),
    /** Regular expression; a line that matches it ends `starting`. Null: running as soon as it runs. */
    startupDetection: z.string().max(500).nullable().optional(),
    dataPath: z.string().max(256).optional(),
    /** What runs the install script; left out: `sh`. */
    installShell: z.string().max(64).optional(),
    /** Where the install container sees the server's directory; left out or null: at `dataPath`. */
    installDataPath: z.string().max(256).nullable().optional(),
    /** The install script runs as root of its container, without the host's rights. */
    installAsRoot: z.boolean().optional(),
  }),
  environment: EnvironmentVariables.optional(),
  allocatedMemoryMb: z.number().int().positive(),
  allocatedCpuCores: z.number().positive(),
  allocatedDiskMb: z.number().int().positive(),
  primaryPort: z.number().int().min(1).max(65535),
  networkMode: z.string().max(64),
  // added
  /** The start command's words with every {{NAME}} replaced; empty: the image's own command. */
  command: z.array(z.string().max(16_384)).max(256).optional(),
  containerName: z.string().max(64).optional(),
  portBindings: z.array(PortBinding).max(100).optional(),
  restartPolicy: z.enum(['always', 'on-failure', 'never']).optional(),
  maxCrashCount: Count.optional(),
  configFiles: z.array(ConfigFile).max(50).optional(),
  network: ServerNetwork.nullable().optional(),
});
export type ServerSpecification = z.infer<typeof ServerSpecification>;
