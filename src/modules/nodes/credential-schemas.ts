import { z } from 'zod';
import { Id, success, successPage, Timestamp } from '../../lib/schemas.js';

export const DeploymentTokenParams = z.object({ nodeId: Id, tokenId: Id });

/** A new token: the only answer that has it. */
export const Deployment = z.object({
  deploymentToken: z.string(),
  secret: z.string(),
  deployUrl: z.string(),
  expiresAt: Timestamp,
});
export type Deployment = z.output<typeof Deployment>;

export const DeploymentToken = z.object({
  id: z.string(),
  createdAt: Timestamp,
  expiresAt: Timestamp,
  usedAt: Timestamp.nullable(),
  /** Null: the panel itself, or an account that is gone. */
  createdBy: z.object({ id: z.string(), username: z.string() }).nullable(),
});
export type DeploymentToken = z.output<typeof DeploymentToken>;

export const RotatedSecret = z.object({
  secret: z.string(),
  /** The agent was told. Otherwise it has to be set up again, with a new deployment token or this secret. */
  agentUpdated: z.boolean(),
});
export type RotatedSecret = z.output<typeof RotatedSecret>;

export const DeploymentResponse = success(Deployment);
export const DeploymentTokensResponse = successPage(DeploymentToken);
export const RotatedSecretResponse = success(RotatedSecret);
