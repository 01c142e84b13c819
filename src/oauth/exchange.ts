import * as oauth from 'oauth4webapi'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { type BackChannelAnswer, toResponse } from './back-channel.ts'
import type { ClientAuthentication } from './client-authentication/index.ts'
import type { OAuthClient } from './oauth-client.ts'
import { secretsOf } from './redaction.ts'
import type { ServerMetadata } from './server-metadata.ts'

/** What the protocol engine calls to send a request that it has drafted. */
type EngineFetch = (url: string, init: EngineRequest) => Promise<Response>

interface EngineRequest {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: URLSearchParams
}

/** One authenticated request, for the protocol engine to fill and send, and for us to keep the answer of. */
export interface Exchange {
  readonly authenticate: (as: unknown, client: unknown, body: URLSearchParams, headers: Headers) => Promise<void>
  readonly fetch: EngineFetch
  readonly answer: () => BackChannelAnswer
  /** What a refusal has to know of the request: its secrets, and whether it proved itself with something that carries dates. */
  readonly sent: () => { readonly secrets: readonly string[]; readonly isDated: boolean }
}

/** Where an exchange goes, and how it ends. */
interface ExchangeTarget {
  readonly url: URL
  readonly metadata: ServerMetadata
  readonly signal: AbortSignal
}

/** Prepares one request that the client authenticates (RFC 6749 section 2.3) to an endpoint of its server. */
export function createExchange(
  client: OAuthClient,
  authentication: ClientAuthentication,
  target: ExchangeTarget,
): Exchange {
  let sent = { body: new URLSearchParams(), headers: new Headers() }
  let answer: BackChannelAnswer | undefined
  return {
    // biome-ignore lint/complexity/useMaxParams: the protocol engine calls it so
    async authenticate(_as, _client, body, headers) {
      await applyAuthentication(client, authentication, { ...target, body, headers })
      sent = { body, headers }
    },
    async fetch(url, { method, headers, body }) {
      answer = await client.channel(url, { method, headers, body, signal: target.signal })
      return toResponse(answer)
    },
    answer() {
      if (answer === undefined) throw new TypeError('unreachable: the engine resolves after its fetch')
      return answer
    },
    // Looked for only when somebody has to be kept from seeing them.
    sent: () => ({ secrets: secretsOf(sent.body, sent.headers), isDated: sent.body.has('client_assertion') }),
  }
}

/** Whatever goes wrong in code that is not ours becomes a typed error; an abort stays what it is. */
async function applyAuthentication(
  { clientName, clientId, clock }: OAuthClient,
  authentication: ClientAuthentication,
  { metadata, signal, ...draft }: ExchangeTarget & { readonly body: URLSearchParams; readonly headers: Headers },
): Promise<void> {
  const { issuer, tokenEndpoint, assertionAlgs } = metadata
  const identity = { clientName, clientId, issuer, tokenEndpoint, assertionAlgs }
  try {
    await authentication.apply(draft, identity, { signal, clock })
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    if (isEvertokenError(cause)) throw cause
    throw new ConfigurationError(`client "${clientName}": expected its client authentication to work, got an error`, {
      code: 'client_authentication_failed',
      cause,
    })
  }
}

/** What the protocol engine has to know to send through an exchange. */
export function engineOptions({ fetch }: Exchange, signal: AbortSignal): EngineOptions {
  return {
    signal,
    headers: { 'user-agent': 'evertoken' },
    // Whether http is allowed was decided where the endpoint became known.
    [oauth.allowInsecureRequests]: true,
    [oauth.customFetch]: fetch,
  }
}

interface EngineOptions {
  readonly signal: AbortSignal
  readonly headers: Record<string, string>
  readonly [oauth.allowInsecureRequests]: true
  readonly [oauth.customFetch]: EngineFetch
}
