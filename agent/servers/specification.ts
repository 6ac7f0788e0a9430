import type { PanelMessageOf } from '../../src/protocol/agent-messages.js';
import type { ServerSpecification } from '../../src/protocol/server-specification.js';
import type { ServerPlan } from '../runtime/runtime.js';
import type { Launch, ServerRecord } from './record.js';

const MAX_CRASH_COUNT_DEFAULT = 5;
const DATA_PATH_DEFAULT = '/data';
const INSTALL_SHELL_DEFAULT = 'sh';

/** What the panel said about how to run a server, in the form that the agent keeps. */
export function toLaunch(specification: ServerSpecification): Launch {
  const { template } = specification;
  return {
    containerName: specification.containerName ?? `catalyst-${specification.serverUuid}`,
    image: template.dockerImage,
    command: specification.command ?? splitWords(template.startCommand ?? ''),
    environment: { ...template.environment, ...specification.environment },
    memoryMb: specification.allocatedMemoryMb,
    cpuCores: specification.allocatedCpuCores,
    diskMb: specification.allocatedDiskMb,
    ports: specification.portBindings ?? [
      { hostIp: '0.0.0.0', hostPort: specification.primaryPort, containerPort: specification.primaryPort },
    ],
    networkMode: specification.networkMode,
    dataPath: template.dataPath ?? DATA_PATH_DEFAULT,
    installImage: template.installImage ?? null,
    installScript: template.installScript ?? null,
    installShell: template.installShell ?? INSTALL_SHELL_DEFAULT,
    installDataPath: template.installDataPath ?? null,
    installAsRoot: template.installAsRoot ?? false,
    stopCommand: template.stopCommand ?? null,
    stopSignal: template.stopSignal ?? null,
    startupDetection: template.startupDetection ?? null,
    restartPolicy: specification.restartPolicy ?? 'on-failure',
    maxCrashCount: specification.maxCrashCount ?? MAX_CRASH_COUNT_DEFAULT,
    configFiles: specification.configFiles ?? [],
    network: specification.network ?? null,
  };
}

/** `restart_server` is documented without a specification; null: go by what is known. */
export function specificationOf(message: PanelMessageOf<'restart_server'>): ServerSpecification | null {
  const { template, allocatedMemoryMb, allocatedCpuCores, allocatedDiskMb, primaryPort, networkMode } =
    message;
  if (
    template === undefined ||
    allocatedMemoryMb === undefined ||
    allocatedCpuCores === undefined ||
    allocatedDiskMb === undefined ||
    primaryPort === undefined ||
    networkMode === undefined
  ) {
    return null;
  }
  return {
    ...message,
    template,
    allocatedMemoryMb,
    allocatedCpuCores,
    allocatedDiskMb,
    primaryPort,
    networkMode,
  };
}

export function toPlan(record: ServerRecord, directory: string): ServerPlan {
  const { stopCommand, stopSignal, startupDetection, restartPolicy, maxCrashCount, configFiles, ...plan } =
    record.launch;
  return { ...plan, serverId: record.serverId, uuid: record.uuid, directory };
}

/** For panels that do not send the words: split at blanks, quotes keep them together, nothing else is special. */
function splitWords(command: string): string[] {
  const words = command.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? [];
  return words.map((word) =>
    word.replaceAll(/"([^"]*)"|'([^']*)'/g, (_, double, single) => double ?? single),
  );
}
