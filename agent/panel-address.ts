/** Where an agent dials to. Never logged: it holds the token. */
export function panelAddress(
  panelUrl: string,
  { path, nodeId, token }: { path: string; nodeId: string; token: string },
): URL {
  const address = new URL(panelUrl);
  address.protocol = address.protocol === 'https:' ? 'wss:' : 'ws:';
  address.pathname = `${address.pathname.replace(/\/$/, '')}${path}`;
  address.search = new URLSearchParams({ nodeId, token }).toString();
  return address;
}
