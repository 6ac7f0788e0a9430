import { once } from 'node:events';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';

/** Of nobody: it proves nothing, and secures nothing. */
const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgtnAuH5Vllyfviy77
HA0/AKlmE7+uZ3X8yyrUg5kb4XKhRANCAASESVmHYwGSaf2U7L/7V78OGsYbk3sb
qx9FISPQx5wD2yNa0mwzFeZr9C/FGgvig6ydYxfiS4py4ksQXCjC+oMC
-----END PRIVATE KEY-----`;
const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBfjCCASWgAwIBAgIUQ6cY0k4GEvcl6s6KJ7F69xx9xSswCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMDE0NTMxMloYDzIxMjYxMDI3
MTQ1MzEyWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASESVmHYwGSaf2U7L/7V78OGsYbk3sbqx9FISPQx5wD2yNa0mwzFeZr
9C/FGgvig6ydYxfiS4py4ksQXCjC+oMCo1MwUTAdBgNVHQ4EFgQU6dqelM3pCmKx
rm51LVgZT3s6EG0wHwYDVR0jBBgwFoAU6dqelM3pCmKxrm51LVgZT3s6EG0wDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAD2Y5hOBYQ+tG2tuROB6Jx
TbxEo8ZnnnBLhlz9JevL2wIgOh9m99ZR8WF32kuIDebUx5VFjsafPkkoZalSkgnM
Srw=
-----END CERTIFICATE-----`;

/** What stands in front of a panel in production: takes TLS, and hands on what is in it. */
export async function startTlsProxy(to: { host: string; port: number }) {
  const sockets = new Set<Socket>();
  const server = createServer({ key: KEY, cert: CERTIFICATE }, (socket) => {
    const onwards = connect(to);
    for (const end of [socket, onwards]) {
      sockets.add(end);
      end.on('error', () => {});
      end.once('close', () => {
        sockets.delete(end);
        socket.destroy();
        onwards.destroy();
      });
    }
    socket.pipe(onwards).pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    cut() {
      for (const socket of sockets) socket.destroy();
    },
    async close() {
      const closed = once(server, 'close');
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}
