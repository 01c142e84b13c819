import type { ClientAuthentication, OAuthClient } from '../oauth/index.ts'
import {
  type EntryHistory,
  type EntryName,
  type FlightOptions,
  grantSource,
  retryingSource,
  type StoredEntries,
  storedSource,
  type TokenBinding,
  timelySource,
} from '../source/index.ts'
import type { WithLock } from '../store/index.ts'
import type { AccessToken, TokenSource } from '../token/index.ts'
import { secureRandom } from '../util/index.ts'
import type { ClientDPoP } from './client-dpop.ts'
import type { EffectiveRequest } from './effective-request.ts'
import type { News } from './forget-together.ts'

/** What the tokens of one request are got with. */
export interface ClientCredentialsOptions {
  readonly oauth: OAuthClient
  readonly authentication: ClientAuthentication
  readonly deadlineMs: number
  /** Keys that the tokens are bound to, where they are bound to keys. */
  readonly dpop: ClientDPoP | undefined
  readonly entries: StoredEntries | undefined
  /** Held by one of the processes that share the store while it asks for a token. */
  readonly lock: WithLock | undefined
  readonly news: News | undefined
  /** Names a token in the store, by the key that it is bound to. */
  readonly name: (jkt: string | undefined) => Promise<EntryName>
  /** What this process knows of deletions. */
  readonly history: () => EntryHistory
}

/** The client credentials grant (RFC 6749 section 4.4) with all that stands between it and the memory of this process. */
export function clientCredentialsSource(request: EffectiveRequest, options: ClientCredentialsOptions): TokenSource {
  const { oauth, deadlineMs, dpop } = options
  const { clock, clientName } = oauth
  const source = dpop === undefined ? boundSource(request, options, undefined) : keyedSource(request, options, dpop)
  return timelySource(source, { clock, deadlineMs, subject: `client "${clientName}"` })
}

/** Tokens that are bound to the client's key of the moment (RFC 9449 section 5): one key for all that one call does. */
function keyedSource(request: EffectiveRequest, options: ClientCredentialsOptions, { keys }: ClientDPoP): TokenSource {
  return {
    async getToken(ask: FlightOptions = {}) {
      const { held, isCheck } = ask
      if (isCheck && held !== undefined) {
        // Under the name of its own key, and without asking for the one of the moment, which may take its time.
        const pausedBy = new Error('not asked')
        const answer = await boundSource(request, options, held.token.jkt)
          .getToken({ ...ask, pausedBy } as FlightOptions)
          .catch((error: unknown) => error)
        if (!(answer instanceof Error)) return answer as AccessToken
        if (answer !== pausedBy) throw answer
      }
      const key = await keys.current()
      const token = await boundSource(request, options, key.jkt).getToken({ ...ask, isCheck: false } as FlightOptions)
      keys.obtained(key, token.expiresAt)
      return token
    },
  }
}

function boundSource(
  { scope, resource, parameters, clientAssertion }: EffectiveRequest,
  { oauth, authentication, entries, lock, news, name, history }: ClientCredentialsOptions,
  jkt: string | undefined,
): TokenSource {
  const { clock } = oauth
  const asked = { grantType: 'client_credentials', scope, resource, parameters, jkt }
  const grant = grantSource(oauth, asked, authentication)
  // An assertion that the caller brought along is good for one try: its `jti` may have been seen.
  const lasting = clientAssertion === undefined ? retryingSource(grant, { clock, random: secureRandom }) : grant
  if (entries === undefined) return lasting
  const boundTo = (): TokenBinding => ({ jkt, certificateThumbprint: oauth.certificate?.thumbprint })
  return storedSource(lasting, {
    entries,
    clock,
    name: () => name(jkt),
    history,
    boundTo,
    lock,
    onReplaced: news?.tell,
  })
}
