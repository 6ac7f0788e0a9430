import type { Nodes } from '../nodes/service.js';
import { type AgentBundle, createAgentBundles } from './agent-bundle.js';
import { deployScript } from './script.js';

export interface DeploymentOptions {
  nodes: Pick<Nodes, 'findDeployment'>;
  /** Where the build has put the agent. */
  agentFile: string;
  publicUrl: string | undefined;
}

export interface Deployments {
  /**
   * The script that sets up the agent of the token's node, or null for a token that is not valid (any more).
   * Reading it does not use the token up: the agent's handshake does.
   * @param baseUrl Of the panel as the machine reached it, for when PUBLIC_URL is not set.
   */
  script(token: string, baseUrl: string): Promise<string | null>;
  agent(): Promise<AgentBundle>;
}

export function createDeployments({ nodes, agentFile, publicUrl }: DeploymentOptions): Deployments {
  const bundles = createAgentBundles(agentFile);
  return {
    agent: bundles.read,

    async script(token, baseUrl) {
      const deployment = await nodes.findDeployment(token);
      if (!deployment) return null;
      const { sha256 } = await bundles.read();
      const panelUrl = (publicUrl ?? baseUrl).replace(/\/+$/, '');
      return deployScript({ ...deployment, token, panelUrl, agentSha256: sha256 });
    },
  };
}
