import * as oauth from 'oauth4webapi'
import { ConfigurationError, isEvertokenError } from '../token/index.ts'
import { aheadOf, type TimedAnswer } from '../util/index.ts'
import { type BackChannelAnswer, toResponse } from './back-channel.ts'
import type { AuthenticationAttempt } from './client-authentication/index.ts'
import { requireJsonAnswer } from './json-answer.ts'
import type { AttemptPlan } from './next-attempt.ts'
import type { OAuthClient } from './oauth-client.ts'
import { type ProofTarget, proofFor, type RequestProof } from './proof-of-possession.ts'
import { secretsOf } from './redaction.ts'

/** What the protocol engine is given, to send a request that it has drafted. */
export interface Engine {
  readonly authenticate: (as: unknown, client: unknown, body: URLSearchParams, headers: Headers) => Promise<void>
  readonly options: {
    readonly signal: AbortSignal
    readonly headers: Record<string, string>
    readonly [oauth.allowInsecureRequests]: true
    readonly [oauth.customFetch]: (url: string, init: EngineRequest) => Promise<Response>
  }
}

interface EngineRequest {
  readonly method: string
  readonly headers: Record<string, string>
  readonly body: URLSearchParams
}

/** One authenticated request, for the protocol engine to fill and send, and for us to keep the answer of. */
export interface Exchange extends Engine {
  readonly answer: () => ExchangedAnswer
  /** What knows how to try again, if anything does. */
  readonly attempt: () => AuthenticationAttempt | undefined
  /** The proof of possession that went along. */
  readonly proof: () => RequestProof | undefined
  readonly sent: () => SentRequest
}

/** What a refusal has to know of the request. */
export interface SentRequest {
  readonly secrets: readonly string[]
  /** Whether it proved itself with something that carries dates. */
  readonly isDated: boolean
}

/** An answer, and what it was got with. */
export interface ExchangedAnswer extends BackChannelAnswer, TimedAnswer {
  /** Of the certificate that the connection was made with. */
  readonly certificateThumbprint: string | undefined
}

/** Where an exchange goes, and how it ends. */
export type ExchangeTarget = ProofTarget

/** Prepares one request that the client authenticates (RFC 6749 section 2.3) to an endpoint of its server. */
export function createExchange(client: OAuthClient, plan: AttemptPlan, target: ExchangeTarget): Exchange {
  const { signal } = target
  let sent = { body: new URLSearchParams(), headers: new Headers() }
  let answer: ExchangedAnswer | undefined
  let attempt: AuthenticationAttempt | undefined
  let proof: RequestProof | undefined
  return {
    // biome-ignore lint/complexity/useMaxParams: the protocol engine calls it so
    async authenticate(_as, _client, body, headers) {
      attempt = await applyAuthentication(client, plan, { ...target, body, headers })
      proof = await proofFor(client, target, plan.datedWithMs)
      if (proof !== undefined) headers.set('dpop', proof.value)
      sent = { body, headers }
    },
    options: {
      signal,
      headers: { 'user-agent': 'evertoken' },
      // Whether http is allowed was decided where the endpoint became known.
      [oauth.allowInsecureRequests]: true,
      [oauth.customFetch]: async (url, { method, headers, body }) => {
        const sentWallTime = client.clock.wallTime()
        // Read with nothing between it and the choice of the connection.
        const certificateThumbprint = client.certificate?.thumbprint
        const received = await client.channel(url, { method, headers, body, signal })
        const date = received.headers.get('date') ?? undefined
        const receivedWallTime = client.clock.wallTime()
        answer = { ...received, certificateThumbprint, date, sentWallTime, receivedWallTime }
        return toResponse(answer)
      },
    },
    answer() {
      if (answer === undefined) throw new TypeError('unreachable: the engine resolves after its fetch')
      return answer
    },
    attempt: () => attempt,
    proof: () => proof,
    // Looked for only when somebody has to be kept from seeing them.
    sent: () => ({
      secrets: secretsOf(sent.body, sent.headers),
      isDated: isDated(sent.body, sent.headers),
    }),
  }
}

function isDated(body: URLSearchParams, headers: Headers): boolean {
  return body.has('client_assertion') || headers.has('oauth-client-attestation-pop') || headers.has('dpop')
}

async function applyAuthentication(
  client: OAuthClient,
  { authentication, datedWithMs }: AttemptPlan,
  {
    metadata,
    signal,
    url,
    body,
    headers,
  }: ExchangeTarget & { readonly body: URLSearchParams; readonly headers: Headers },
): Promise<AuthenticationAttempt | undefined> {
  const { clientName, clientId } = client
  const clock = aheadOf(client.clock, datedWithMs)
  const { issuer, tokenEndpoint, assertionAlgs, challengeEndpoint } = metadata
  const identity = { clientName, clientId, issuer, tokenEndpoint, assertionAlgs, challengeEndpoint }
  const ask = (url: URL): Promise<Readonly<Record<string, unknown>>> => askOf(client, url, signal)
  const draft = { url, body, headers }
  const made = await foreign(client, signal, async () => authentication.apply(draft, identity, { signal, clock, ask }))
  return made ?? undefined
}

/**
 * Runs what may be somebody else's code.
 *
 * @throws ConfigurationError with code `client_authentication_failed` for an error that is not this package's; the signal's reason when
 * it has aborted.
 */
export async function foreign<T>(
  { clientName }: Pick<OAuthClient, 'clientName'>,
  signal: AbortSignal,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (cause) {
    if (signal.aborted) throw signal.reason
    if (isEvertokenError(cause)) throw cause
    throw new ConfigurationError(`client "${clientName}": expected its client authentication to work, got an error`, {
      code: 'client_authentication_failed',
      cause,
    })
  }
}

async function askOf(
  { channel, clientName }: OAuthClient,
  url: URL,
  signal: AbortSignal,
): Promise<Readonly<Record<string, unknown>>> {
  const headers = { accept: 'application/json', 'user-agent': 'evertoken' }
  const answer = await channel(url.href, { method: 'POST', headers, signal })
  return requireJsonAnswer(answer, `client "${clientName}", ${url.pathname}`)
}
