import { describe } from 'vitest';
import { dockerAnswers } from '../../agent/runtime/docker.js';

export const dockerSocket = process.env.DOCKER_SOCKET ?? '/var/run/docker.sock';

/** A real game server with its console on standard input: OpenTTD. */
export const gameImage = process.env.TEST_GAME_IMAGE ?? 'catalyst-test/openttd:13';
export const baseImage = 'debian:bookworm-slim';

const isCi = process.env.CI === 'true';
const hasDocker = await dockerAnswers(dockerSocket);
if (!hasDocker && !isCi) console.warn(`no Docker engine answers on ${dockerSocket}: its tests are skipped`);

/** Tests of Docker run where an engine answers. In CI they always run, so that there its absence is a failure. */
export const describeDocker = describe.skipIf(!hasDocker && !isCi);
