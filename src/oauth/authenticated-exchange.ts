import { errorName } from '../telemetry/index.ts'
import type { TokenEndpointError } from '../token/index.ts'
import type { AuthenticationAnswer, ClientAuthentication } from './client-authentication/index.ts'
import { createExchange, type Engine, type Exchange, type ExchangedAnswer, type ExchangeTarget } from './exchange.ts'
import { readJsonAnswer } from './json-answer.ts'
import type { OAuthClient } from './oauth-client.ts'
import { skewOf } from './server-time.ts'
import { DATED_REFUSALS, tokenEndpointError } from './token-error.ts'

/** One request to an endpoint that the client authenticates to. */
export interface AuthenticatedRequest extends ExchangeTarget {
  /** Whose request it is, for messages. */
  readonly subject: string
  readonly authentication: ClientAuthentication
  /** The status that means yes. Default 200; RFC 9126 section 2.2 has 201. */
  readonly acceptedStatus?: number | undefined
  /** Drafts the request and sends it through the engine's options. Called for every attempt. */
  readonly send: (engine: Engine) => Promise<unknown>
}

/** An answer with the status that means yes. */
export interface AcceptedAnswer {
  readonly answer: ExchangedAnswer
  /** What is thrown when the body turns out to be a refusal all the same. */
  refusal(json: Readonly<Record<string, unknown>>): TokenEndpointError
  /** Tells the client authentication that it was accepted, and until when what it obtained is good. */
  accepted(expiresAt?: number): void
}

/** Ways to authenticate end their attempts themselves; this is for one that does not. */
const MAX_ATTEMPTS = 8

/**
 * Sends a request, and sends it again where the server refused the client and its authentication sees a chance: with another key,
 * with the server's time, with its challenge. A server authenticates the client before it looks at the grant (RFC 6749 section 5.2),
 * so that nothing was spent.
 *
 * @throws TokenEndpointError when the server refuses; TransportError when no answer comes; ConfigurationError when the client cannot
 * authenticate.
 */
export async function sendAuthenticated(client: OAuthClient, request: AuthenticatedRequest): Promise<AcceptedAnswer> {
  const { acceptedStatus = 200 } = request
  let { authentication } = request
  await client.certificate?.ready()
  for (let attempts = 1; ; attempts++) {
    const exchange = createExchange(client, authentication, request)
    await request.send(exchange)
    const answer = exchange.answer()
    const { status, headers } = answer
    const header = (name: string): string | undefined => headers.get(name) ?? undefined
    if (status === acceptedStatus) {
      client.serverTime.accepted(answer)
      return {
        answer,
        refusal: (json) => refusalOf(client, { request, exchange, json }).error,
        accepted: (expiresAt) => void exchange.attempt()?.next({ status, header, expiresAt }),
      }
    }
    const json = readJsonAnswer(answer)
    const { error, isRedated } = refusalOf(client, { request, exchange, json })
    const next = exchange.attempt()?.next({ status, header, ...toldBy(error), isRedated })
    if (next === undefined || attempts === MAX_ATTEMPTS || request.signal.aborted) throw error
    client.telemetry.note({ name: 'authentication_retried', client: client.clientName, error: errorName(error) })
    authentication = next
  }
}

function toldBy({ error, errorDescription }: TokenEndpointError): Partial<AuthenticationAnswer> {
  return { error, errorDescription }
}

interface Refused {
  readonly request: AuthenticatedRequest
  readonly exchange: Exchange
  readonly json: Readonly<Record<string, unknown>> | string
}

/** The error, and whether another attempt would be dated by another time. */
function refusalOf(
  { clock, serverTime, clientName: client, telemetry }: OAuthClient,
  { request: { subject }, exchange, json }: Refused,
): { readonly error: TokenEndpointError; readonly isRedated: boolean } {
  const answer = exchange.answer()
  const { secrets, isDated, datedWithMs } = exchange.sent()
  const skewMs = isDated ? skewOf(answer) : undefined
  const restMs = skewMs === undefined ? undefined : skewMs - datedWithMs
  const told = typeof json === 'string' ? undefined : json
  const error = tokenEndpointError(answer, told, { subject, secrets, clock, skewMs, restMs })
  const isRedated = skewMs !== undefined && DATED_REFUSALS.has(error.error) && serverTime.refused(answer, datedWithMs)
  if (isRedated) telemetry.note({ name: 'clock_skew', client, skewMs })
  return { error, isRedated }
}
