import type { FastifyPluginAsyncZod } from 'fastify-type-provider-zod';
import { Success } from '../../../lib/schemas.js';
import type { Auth } from '../service.js';
import {
  ConfirmBody,
  DisableBody,
  EnrolBody,
  EnrolmentResponse,
  givenCode,
  RecoveryCodesBody,
  RecoveryCodesResponse,
  TwoFactorResponse,
} from './two-factor-schemas.js';

const tags = ['Account'];
const config = { access: 'session' } as const;

export const twoFactorRoutes: FastifyPluginAsyncZod<{ twoFactor: Auth['twoFactor'] }> = async (
  app,
  { twoFactor },
) => {
  app.get(
    '/two-factor',
    {
      config,
      schema: {
        tags,
        summary: 'Whether two-factor authentication is on',
        response: { 200: TwoFactorResponse },
      },
    },
    async ({ actor }) => ({ success: true as const, data: await twoFactor.state(actor) }),
  );

  app.post(
    '/two-factor/enrol',
    {
      config,
      schema: {
        tags,
        summary: 'Enrol an authenticator app',
        description:
          'Answers the secret, which is shown this once. Logins ask for a code when it has been confirmed.',
        body: EnrolBody,
        response: { 200: EnrolmentResponse },
      },
    },
    async ({ actor, body }) => ({
      success: true as const,
      data: await twoFactor.enrol(actor, body.password),
    }),
  );

  app.post(
    '/two-factor/confirm',
    {
      config,
      schema: {
        tags,
        summary: 'Turn two-factor authentication on',
        description: 'Takes a first code of the app and answers recovery codes, which are shown this once.',
        body: ConfirmBody,
        response: { 200: RecoveryCodesResponse },
      },
    },
    async ({ actor, body }) => ({
      success: true as const,
      data: { recoveryCodes: await twoFactor.confirm(actor, body.code) },
    }),
  );

  app.post(
    '/two-factor/disable',
    {
      config,
      schema: {
        tags,
        summary: 'Turn two-factor authentication off',
        body: DisableBody,
        response: { 200: Success },
      },
    },
    async ({ actor, body }) => {
      await twoFactor.disable(actor, body.password, givenCode(body));
      return { success: true as const };
    },
  );

  app.post(
    '/two-factor/recovery-codes',
    {
      config,
      schema: {
        tags,
        summary: 'Replace the recovery codes',
        body: RecoveryCodesBody,
        response: { 200: RecoveryCodesResponse },
      },
    },
    async ({ actor, body }) => ({
      success: true as const,
      data: { recoveryCodes: await twoFactor.renewRecoveryCodes(actor, body.password, body.code) },
    }),
  );
};
