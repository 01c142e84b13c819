// Compiled, never run: what other libraries make of a login is one here, without a cast.

import type { LoginResponse } from 'evertoken/session'
import type { TokenEndpointResponse, TokenEndpointResponseHelpers } from 'openid-client'

declare const ofOpenidClient: TokenEndpointResponse & TokenEndpointResponseHelpers
declare const ofPassport: readonly [accessToken: string, refreshToken: string, parameters: { id_token?: string }]
/** As `express-openid-connect` keeps it in its session. */
declare const ofExpressOpenidConnect: {
  id_token: string
  access_token: string
  refresh_token: string
  token_type: string
  expires_at: string
}
/** As a server with nullable columns answers. */
declare const ofJson: { access_token: string; refresh_token: string | null; scope: string | null; expires_in: number }

const [access_token, refresh_token, parameters] = ofPassport
const each: readonly LoginResponse[] = [
  ofOpenidClient,
  { ...ofOpenidClient, subject: 'alice', claims: { role: 'user' } },
  { ...parameters, access_token, refresh_token },
  ofExpressOpenidConnect,
  ofJson,
]
void each
// @ts-expect-error there is no login without an access token
const noToken: LoginResponse = { refresh_token }
// @ts-expect-error an instant is a number here
const noInstant: LoginResponse = { access_token, receivedAt: new Date() }
void [noToken, noInstant]
