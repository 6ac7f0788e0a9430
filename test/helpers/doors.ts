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
    /** A node's agent, let in. @param handshake What it says of itself beside what is documented. */
    async connectAgent(
      node: { id: string; secret: string },
      handshake: Record<string, unknown> = {},
    ): Promise<DocumentedAgent> {
      const agent = await connectDocumentedAgent({ port, nodeId: node.id, token: node.secret, handshake });
      await agent.next('node_handshake_response');
      return agent;
    },
    connect: (agent: Omit<DocumentedAgentOptions, 'port'>): Promise<DocumentedAgent> =>
      connectDocumentedAgent({ port, ...agent }),
    async close(): Promise<void> {
      await sockets.close();
      await panel.close();
    },
  };
}
