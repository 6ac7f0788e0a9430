import { attachSockets } from '../../src/upgrade.js';
import {
  connectDocumentedAgent,
  type DocumentedAgent,
  type DocumentedAgentOptions,
} from './documented-agent.js';
import { type PanelOptions, startPanel } from './panel.js';

export type PanelWithDoors = Awaited<ReturnType<typeof startPanelWithDoors>>;

/** A panel that listens, with `/ws` as in production. */
export async function startPanelWithDoors(options?: PanelOptions) {
  const panel = await startPanel(options);
  const sockets = attachSockets(panel.app.server, panel.context);
  const port = await panel.listen();

  return {
    ...panel,
    port,
    sockets,
    connect: (agent: Omit<DocumentedAgentOptions, 'port'>): Promise<DocumentedAgent> =>
      connectDocumentedAgent({ port, ...agent }),
    async close(): Promise<void> {
      await sockets.close();
      await panel.close();
    },
  };
}
