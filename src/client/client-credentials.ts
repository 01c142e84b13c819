import type { ClientAuthentication, OAuthClient } from '../oauth/index.ts'
import { grantSource, retryingSource, storedSource, timelySource } from '../source/index.ts'
import type { TokenStore } from '../store/index.ts'
import type { TokenSource } from '../token/index.ts'
import { secureRandom } from '../util/index.ts'
import type { EffectiveRequest } from './effective-request.ts'

/** What the tokens of one request are got with. */
export interface ClientCredentialsOptions {
  readonly oauth: OAuthClient
  readonly authentication: ClientAuthentication
  readonly deadlineMs: number
  readonly store: TokenStore | undefined
  /** Names the token in the store. */
  readonly key: () => Promise<string>
  /** Changes with every deletion. */
  readonly epoch: () => number
}

/** The client credentials grant (RFC 6749 section 4.4) with all that stands between it and the memory of this process. */
export function clientCredentialsSource(request: EffectiveRequest, options: ClientCredentialsOptions): TokenSource {
  const { oauth, authentication, deadlineMs, store, key, epoch } = options
  const { clock, clientName } = oauth
  const { scope, resource, parameters } = request
  const boundTo = (): string | undefined => oauth.certificate?.thumbprint
  const grant = grantSource(oauth, { grantType: 'client_credentials', scope, resource, parameters }, authentication)
  // An assertion that the caller brought along is good for one try: its `jti` may have been seen.
  const lasting = request.clientAssertion === undefined ? retryingSource(grant, { clock, random: secureRandom }) : grant
  const stored = store === undefined ? lasting : storedSource(lasting, { store, clock, key, epoch, boundTo })
  return timelySource(stored, { clock, deadlineMs, subject: `client "${clientName}"` })
}
