import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';
import { docker } from './docker-harness.js';

const LAYER_BYTES = 8 * 1024 * 1024;
const MANIFEST_TYPE = 'application/vnd.docker.distribution.manifest.v2+json';

/**
 * A registry on this machine with one image of two layers under every name and tag. An engine pulls from loopback
 * addresses without TLS. https://distribution.github.io/distribution/spec/api/
 */
export async function createRegistry() {
  const layers = [await makeLayer('first'), await makeLayer('second')];
  const config = Buffer.from(
    JSON.stringify({
      os: 'linux',
      architecture: process.arch === 'x64' ? 'amd64' : process.arch,
      config: {},
      rootfs: { type: 'layers', diff_ids: layers.map(({ tar }) => digestOf(tar)) },
    }),
  );
  const layerType = 'application/vnd.docker.image.rootfs.diff.tar.gzip';
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: MANIFEST_TYPE,
      config: describeBlob(config, 'application/vnd.docker.container.image.v1+json'),
      layers: layers.map(({ zipped }) => describeBlob(zipped, layerType)),
    }),
  );
  const blobs = new Map(
    [config, ...layers.map(({ zipped }) => zipped)].map((blob) => [digestOf(blob), blob]),
  );

  let release = () => {};
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  const server = createServer((request, response) => {
    const path = request.url ?? '';
    if (path.includes('/manifests/')) {
      response.setHeader('docker-content-digest', digestOf(manifest));
      response.setHeader('content-type', MANIFEST_TYPE).setHeader('content-length', manifest.length);
      response.end(request.method === 'HEAD' ? undefined : manifest);
    } else if (path.includes('/blobs/')) {
      const blob = blobs.get(path.split('/').at(-1) ?? '') ?? Buffer.alloc(0);
      const middle = blob === layers[1]?.zipped ? blob.length / 2 : blob.length;
      response.setHeader('content-length', blob.length).write(blob.subarray(0, middle));
      void released.then(() => response.end(blob.subarray(middle)));
    } else {
      response.end('{}');
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const close = () => {
    server.closeAllConnections();
    server.close();
  };
  onTestFinished(close);
  const address = server.address();
  const host = `127.0.0.1:${typeof address === 'object' ? address?.port : ''}`;
  return {
    close,
    /** Until then only half of the second layer is sent. */
    release,
    image(name: string) {
      const reference = `${host}/${name}`;
      onTestFinished(() =>
        docker
          .getImage(reference)
          .remove({ force: true })
          .catch(() => undefined),
      );
      return reference;
    },
  };
}

/** Random bytes, so that the engine has something to download and no layer from an earlier test. */
async function makeLayer(name: string) {
  const directory = await mkdtemp(join(tmpdir(), 'catalyst-layer-'));
  await writeFile(join(directory, name), randomBytes(LAYER_BYTES));
  const tar = execFileSync('tar', ['-cf', '-', '-C', directory, name], { maxBuffer: 2 * LAYER_BYTES });
  await rm(directory, { recursive: true });
  return { tar, zipped: gzipSync(tar, { level: 1 }) };
}

const digestOf = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;
const describeBlob = (bytes: Buffer, mediaType: string) => ({
  mediaType,
  size: bytes.length,
  digest: digestOf(bytes),
});
