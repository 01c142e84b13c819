import type { ClientAuthentication, OAuthClient } from '../oauth/index.ts'
import {
  DELETED,
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
  /** Changes with every deletion. */
  readonly epoch: () => number
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
    async getToken(given: FlightOptions = {}) {
      const key = await keys.current()
      const { doubted, ...ask } = given
      // A token of the key before has an entry of its own.
      const isOlder = doubted !== undefined && doubted.jkt !== key.jkt
      const isKept =
        isOlder && !(await wasDeleted(doubted, options, ask)) && options.oauth.clock.now() < doubted.expiresAt
      if (isKept) return doubted
      const token = await boundSource(request, options, key.jkt).getToken(isOlder ? ask : given)
      keys.obtained(key, token.expiresAt)
      return token
    },
  }
}

async function wasDeleted(
  { jkt }: AccessToken,
  { entries, name }: ClientCredentialsOptions,
  { signal, onDeleted }: FlightOptions,
): Promise<boolean> {
  const wasDeleted = (await entries?.read(await name(jkt), signal)) === DELETED
  if (wasDeleted) onDeleted?.()
  return wasDeleted
}

function boundSource(
  { scope, resource, parameters, clientAssertion }: EffectiveRequest,
  { oauth, authentication, entries, lock, news, name, epoch }: ClientCredentialsOptions,
  jkt: string | undefined,
): TokenSource {
  const { clock } = oauth
  const asked = { grantType: 'client_credentials', scope, resource, parameters, jkt }
  const grant = grantSource(oauth, asked, authentication)
  // An assertion that the caller brought along is good for one try: its `jti` may have been seen.
  const lasting = clientAssertion === undefined ? retryingSource(grant, { clock, random: secureRandom }) : grant
  if (entries === undefined) return lasting
  const boundTo = (): TokenBinding => ({ jkt, certificateThumbprint: oauth.certificate?.thumbprint })
  return storedSource(lasting, { entries, clock, name: () => name(jkt), epoch, boundTo, lock, onReplaced: news?.tell })
}
