import { GatewayError } from '../../core/errors.ts'

/** Creates the error for a token that is not accepted. */
export const invalidToken = (reason: string): GatewayError =>
  new GatewayError('token_invalid', `The token is not accepted: ${reason}.`)
