import type Docker from 'dockerode';
import type { Logger } from 'pino';
import type { ServerNetwork } from '../../../src/protocol/server-specification.js';
import { callEngine } from './call.js';
import { Label } from './create.js';
import { DockerError, engineMessage, engineStatus, isMissing, isUnavailable } from './errors.js';
import { isIpv6, isSameAddress, isSameSubnet } from './subnets.js';

/** The networks of the engine in which servers have addresses of their own. */
export interface NetworkStore {
  /**
   * Have this network, made if it is not there. One of its name that is another network is left alone, unless it is
   * what an earlier IP pool has left behind, with nothing in it: then it makes room.
   * @throws DockerError that says what is in the way.
   */
  ensure(network: ServerNetwork): Promise<void>;
}

export function createNetworkStore(docker: Docker, nodeId: string, log: Logger): NetworkStore {
  /** By name: of two starts at once the second waits for the first, because the engine would make two. */
  const underWay = new Map<string, Promise<void>>();

  async function ensureNow(network: ServerNetwork): Promise<void> {
    const found = (await find(docker, network.name)) ?? (await make(network));
    if (found === null) return;
    const difference = differenceOf(found, network);
    if (difference === null) return;
    const isOurs = found.Labels?.[Label.node] === nodeId;
    if (!isOurs || !(await removeUnused(found))) refuse(network.name, difference);
    log.info({ network: network.name, difference }, 'the network of an earlier IP pool was removed');
    const other = await make(network);
    const remaining = other && differenceOf(other, network);
    if (remaining) refuse(network.name, remaining);
  }

  /** Null: made. Else what somebody else has made meanwhile. */
  async function make(network: ServerNetwork): Promise<Docker.NetworkInspectInfo | null> {
    try {
      const options = networkOptions(network, nodeId);
      await callEngine(docker, (abortSignal) => docker.createNetwork({ ...options, abortSignal }));
      log.info({ network: network.name, cidr: network.cidr }, 'network made');
      return null;
    } catch (error) {
      if (isUnavailable(error)) throw error;
      const found = engineStatus(error) === 409 ? await find(docker, network.name) : null;
      if (found !== null) return found;
      const sentence = `the network ${network.name} could not be made: ${engineMessage(error)}`;
      throw new DockerError('network.failed', sentence, { cause: error });
    }
  }

  /** False: something is connected to it, which the engine knows best. */
  async function removeUnused({ Id }: Docker.NetworkInspectInfo): Promise<boolean> {
    try {
      await callEngine(docker, () => docker.getNetwork(Id).remove());
      return true;
    } catch (error) {
      if (isUnavailable(error)) throw error;
      return isMissing(error);
    }
  }

  return {
    async ensure(network) {
      const before = underWay.get(network.name) ?? Promise.resolve();
      const current = before.then(() => ensureNow(network));
      const settled = current.catch(() => undefined);
      underWay.set(network.name, settled);
      try {
        await current;
      } finally {
        if (underWay.get(network.name) === settled) underWay.delete(network.name);
      }
    },
  };
}

async function find(docker: Docker, name: string): Promise<Docker.NetworkInspectInfo | null> {
  try {
    const info = await callEngine(docker, () => docker.getNetwork(name).inspect());
    // The engine also takes the beginning of an id for a name.
    return info.Name === name ? info : null;
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function networkOptions(network: ServerNetwork, nodeId: string): Docker.NetworkCreateOptions {
  const { name, driver, cidr, gateway, parentInterface } = network;
  return {
    Name: name,
    Driver: driver,
    CheckDuplicate: true,
    EnableIPv6: isIpv6(network.ipAddress),
    IPAM: { Driver: 'default', Config: [{ Subnet: cidr, ...(gateway !== null && { Gateway: gateway }) }] },
    Options: driver !== 'bridge' && parentInterface !== null ? { parent: parentInterface } : {},
    Labels: { [Label.node]: nodeId },
  };
}

/** In what a network is not the wanted one; null: it is. */
function differenceOf(found: Docker.NetworkInspectInfo, network: ServerNetwork): string | null {
  const { driver, cidr, gateway, parentInterface } = network;
  const subnets = found.IPAM?.Config ?? [];
  const subnet = subnets.find(({ Subnet }) => Subnet !== undefined && isSameSubnet(Subnet, cidr));
  if (found.Driver !== driver) return `its driver is ${found.Driver}, not ${driver}`;
  if (subnet === undefined) {
    const addresses = subnets.map(({ Subnet }) => Subnet).join(', ');
    return `its addresses are ${addresses || 'none'}, not ${cidr}`;
  }
  const isOther = gateway !== null && subnet.Gateway !== undefined && !isSameAddress(subnet.Gateway, gateway);
  if (isOther) return `its gateway is ${subnet.Gateway}, not ${gateway}`;
  const parent = found.Options?.parent;
  if (driver !== 'bridge' && parentInterface !== null && parent !== parentInterface) {
    return `its interface is ${parent ?? 'none'}, not ${parentInterface}`;
  }
  return null;
}

function refuse(name: string, difference: string): never {
  const sentence = `this node has another network called ${name}: ${difference}. Remove it, or give the IP pool another name`;
  throw new DockerError('network.mismatch', sentence);
}
