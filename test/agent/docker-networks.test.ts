import { randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import type { ServerNetwork } from '../../src/protocol/server-specification.js';
import { describeDocker } from '../helpers/docker.js';
import { createNode, docker, makePlan, record } from './docker-harness.js';

const patience = { timeout: 15_000, interval: 50 };
const ECHO =
  'perl -MIO::Socket::IP -e \'my $s = IO::Socket::IP->new(LocalPort => 7777, Listen => 5, V6Only => 0) or die $@; print "up\\n"; $|=1; STDOUT->flush; while (my $c = $s->accept) { print $c "hello\\n"; close $c }\'';

/** Addresses that nothing else uses, and nothing left of them afterwards. */
function makeNetwork(changes: Partial<ServerNetwork> = {}): ServerNetwork {
  const [second = 0, third = 0] = randomBytes(2);
  const name = `catalyst-test-${randomBytes(4).toString('hex')}`;
  onTestFinished(() => removeNetwork(name));
  const base = `10.${200 + (second % 50)}.${third}`;
  return {
    name,
    driver: 'bridge',
    parentInterface: null,
    cidr: `${base}.0/24`,
    gateway: `${base}.1`,
    ipAddress: `${base}.10`,
    ...changes,
  };
}

async function removeNetwork(name: string): Promise<void> {
  const found = await docker.listNetworks({ filters: { name: [name] } });
  for (const { Id } of found)
    await docker
      .getNetwork(Id)
      .remove({ force: true })
      .catch(() => undefined);
}

async function ask(host: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port: 7777 });
    socket.on('data', (data) => resolve(data.toString()));
    socket.on('error', reject);
  });
}

describeDocker('networks in which servers have their own addresses', { timeout: 60_000 }, () => {
  test('two servers of one network are reached at their addresses, and nothing of them is published', async () => {
    const network = makeNetwork();
    const { nodeId, runtime } = await createNode();
    const other = { ...network, ipAddress: network.ipAddress.replace(/10$/, '20') };
    const ports = [{ hostIp: '0.0.0.0', hostPort: 28_793, containerPort: 7777 }];
    const plans = await Promise.all([
      makePlan(ECHO, { network, ports }),
      makePlan(ECHO, { network: other, ports }),
    ]);
    // At once: the network is made once.
    const servers = await Promise.all(plans.map((plan) => runtime.start(plan, record())));
    const made = await docker.listNetworks({ filters: { name: [network.name] } });
    expect(made).toHaveLength(1);
    expect(made[0]).toMatchObject({ Driver: 'bridge', Labels: { 'catalyst.node': nodeId } });
    for (const { ipAddress } of [network, other]) {
      await vi.waitFor(async () => expect(await ask(ipAddress)).toBe('hello\n'), patience);
    }
    const { HostConfig, NetworkSettings } = await docker
      .getContainer(servers[0]?.containerId ?? '')
      .inspect();
    expect(HostConfig.PortBindings ?? {}).toEqual({});
    expect(NetworkSettings.Networks[network.name]?.IPAddress).toBe(network.ipAddress);
    for (const { uuid } of plans) await runtime.remove(uuid);
  });

  test('the address of another server in the network is refused with its own code', async () => {
    const network = makeNetwork();
    const { runtime } = await createNode();
    const [first, second] = await Promise.all([
      makePlan('read -r _', { network }),
      makePlan('read -r _', { network }),
    ]);
    await runtime.start(first, record());
    await expect(runtime.start(second, record())).rejects.toMatchObject({ code: 'address.in_use' });
    await runtime.remove(first.uuid);
  });

  test('an installation makes the network, and its script does not take the server’s address', async () => {
    const network = makeNetwork();
    const { runtime } = await createNode();
    const plan = await makePlan('true', { network, installScript: 'hostname -i' });
    const output = record();
    await runtime.install(plan, output, new AbortController().signal);
    expect(output.lines.join()).not.toContain(network.ipAddress);
    expect(await docker.listNetworks({ filters: { name: [network.name] } })).toHaveLength(1);
    await runtime.remove(plan.uuid);
  });

  test.each<[string, Partial<ServerNetwork>, string]>([
    ['addresses', { cidr: '10.199.7.0/24', gateway: null, ipAddress: '10.199.7.5' }, 'its addresses are'],
    ['a gateway', { gateway: 'x.2' }, 'its gateway is'],
    ['a driver', { driver: 'macvlan' }, 'its driver is bridge, not macvlan'],
  ])('a network of the name with %s of its own is left alone', async (_, changes, sentence) => {
    const network = makeNetwork();
    const { runtime } = await createNode();
    await docker.createNetwork({
      Name: network.name,
      IPAM: { Driver: 'default', Config: [{ Subnet: network.cidr, Gateway: network.gateway ?? '' }] },
    });
    const wanted = { ...network, ...changes };
    if (changes.gateway !== undefined && changes.gateway !== null)
      wanted.gateway = network.cidr.replace('0/24', '2');
    const plan = await makePlan('true', { network: wanted });
    await expect(runtime.start(plan, record())).rejects.toMatchObject({
      code: 'network.mismatch',
      message: expect.stringContaining(sentence),
    });
    // The very one is taken as it is.
    const server = await runtime.start(await makePlan('true', { network }), record());
    await server.exited;
  });

  test('what is left of an earlier pool with other addresses makes room, unless something is still in it', async () => {
    const network = makeNetwork();
    const later = { ...network, cidr: '10.198.7.0/24', gateway: null, ipAddress: '10.198.7.5' };
    const { runtime } = await createNode();
    const tenant = await makePlan('read -r _', { network });
    await runtime.start(tenant, record());
    const plan = await makePlan('hostname -i', { network: later });
    await expect(runtime.start(plan, record())).rejects.toMatchObject({ code: 'network.mismatch' });
    await runtime.remove(tenant.uuid);
    const output = record();
    const server = await runtime.start(plan, output);
    await server.exited;
    expect(output.lines.join()).toContain('10.198.7.5');
  });

  test.each<[string, Partial<ServerNetwork>]>([
    ['the engine’s own', { name: 'bridge' }],
    ['one that is none', { name: '../x' }],
    ['an address outside of it', { ipAddress: '192.168.1.5' }],
    ['a gateway outside of it', { gateway: '192.168.1.1' }],
    ['an interface that is an option', { driver: 'macvlan', parentInterface: 'eth0,x=1' }],
  ])('%s never reaches the engine', async (_, changes) => {
    const { runtime } = await createNode();
    const plan = await makePlan('true', { network: { ...makeNetwork(), ...changes } });
    await expect(runtime.start(plan, record())).rejects.toThrow(/^not /);
  });

  test('an address of IPv6', async ({ skip }) => {
    const base = `fd00:${randomBytes(2).toString('hex')}:${randomBytes(2).toString('hex')}:`;
    const network = makeNetwork({ cidr: `${base}:/64`, gateway: `${base}:1`, ipAddress: `${base}:10` });
    const { runtime } = await createNode();
    const plan = await makePlan(ECHO.replace('LocalPort', 'LocalHost => "::", LocalPort'), { network });
    try {
      await runtime.start(plan, record());
    } catch (error) {
      if (/ipv6|ip6tables|sysctl/i.test(String(error))) return skip(`no IPv6 here: ${error}`);
      throw error;
    }
    await vi.waitFor(async () => expect(await ask(network.ipAddress)).toBe('hello\n'), patience);
    await runtime.remove(plan.uuid);
  });

  test.each(['macvlan', 'ipvlan'] as const)('a network of the LAN itself: %s', async (driver) => {
    // Without an interface the engine makes one that leads nowhere.
    const network = makeNetwork({ driver });
    const { runtime } = await createNode();
    const output = record();
    const plan = await makePlan('hostname -I', { network });
    const server = await runtime.start(plan, output).catch((error: unknown) => {
      if (!/not supported|unknown device|not permitted/i.test(String(error))) throw error;
      console.warn(`this kernel has no ${driver}: ${error}`);
      return null;
    });
    if (server === null) return;
    await server.exited;
    expect(output.lines.join().split(' ')).toContain(network.ipAddress);
    await runtime.remove(plan.uuid);
    const changed = await makePlan('true', { network: { ...network, parentInterface: 'other0' } });
    await expect(runtime.start(changed, record())).rejects.toThrow('its interface is');
  });
});
