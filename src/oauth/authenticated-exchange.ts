import { errorName } from '../telemetry/index.ts'
import type { TokenEndpointError } from '../token/index.ts'
import { type AuthenticationAnswer, type ClientAuthentication, isClientRefusal } from './client-authentication/index.ts'
import {
  type AttemptPlan,
  createExchange,
  type Engine,
  type Exchange,
  type ExchangedAnswer,
  type ExchangeTarget,
  foreign,
} from './exchange.ts'
import { readJsonAnswer } from './json-answer.ts'
import type { OAuthClient } from './oauth-client.ts'
import { redated, skewOf } from './server-time.ts'
import { tokenEndpointError } from './token-error.ts'

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
  const { signal, acceptedStatus = 200 } = request
  const { serverTime } = client
  let plan: AttemptPlan = { authentication: request.authentication, datedWithMs: serverTime.offsetMs }
  let hasRedated = false
  await foreign(client, signal, async () => client.certificate?.ready())
  for (let attempts = 1; ; attempts++) {
    const exchange = createExchange(client, plan, request)
    await request.send(exchange)
    const answered: Answered = { request, exchange, datedWithMs: plan.datedWithMs }
    if (exchange.answer().status === acceptedStatus) return acceptedAnswer(client, answered)
    const { error, redatedMs } = refusalOf(client, answered, readJsonAnswer(exchange.answer()))
    const isRedated: boolean = redatedMs !== undefined && !hasRedated
    const told: AuthenticationAnswer = { ...headOf(exchange), ...toldBy(error), isRedated }
    const attempt = exchange.attempt()
    const authentication: ClientAuthentication | undefined = await foreign(client, signal, async () =>
      attempt?.next(told),
    )
    const next: AttemptPlan | undefined =
      authentication === undefined
        ? ownTime(answered, error, hasRedated)
        : { authentication, datedWithMs: (isRedated ? redatedMs : undefined) ?? plan.datedWithMs }
    const { clientName, telemetry } = client
    if (next === undefined || attempts === MAX_ATTEMPTS || signal.aborted) {
      const { code, clockSkewMs: skewMs = 0 } = error
      if (code === 'clock_skew') telemetry.note({ name: 'clock_skew', client: clientName, skewMs })
      throw error
    }
    telemetry.note({ name: 'authentication_retried', client: clientName, error: errorName(error) })
    hasRedated ||= next.datedWithMs !== plan.datedWithMs
    plan = next
  }
}

/** The last resort where the server's clock is followed and nothing else is left: it may have been followed astray. */
function ownTime(
  { request: { authentication }, exchange, datedWithMs }: Answered,
  { error }: TokenEndpointError,
  hasRedated: boolean,
): AttemptPlan | undefined {
  const isAstray = datedWithMs !== 0 && !hasRedated && exchange.attempt() !== undefined && isClientRefusal(error)
  return isAstray ? { authentication, datedWithMs: 0 } : undefined
}

function acceptedAnswer(client: OAuthClient, { request, exchange, datedWithMs }: Answered): AcceptedAnswer {
  const answer = exchange.answer()
  const attempt = exchange.attempt()
  const { serverTime, telemetry, clientName } = client
  const before = serverTime.offsetMs
  if (attempt !== undefined) serverTime.accepted(answer, datedWithMs)
  const skewMs = serverTime.offsetMs
  if (before === 0 && skewMs !== 0) telemetry.note({ name: 'clock_skew', client: clientName, skewMs })
  return {
    answer,
    refusal: (json) => refusalOf(client, { request, exchange, datedWithMs }, json).error,
    accepted: (expiresAt) => settle(() => attempt?.next({ ...headOf(exchange), expiresAt })),
  }
}

function headOf(exchange: Exchange): Pick<AuthenticationAnswer, 'status' | 'header'> {
  const { status, headers } = exchange.answer()
  return { status, header: (name) => headers.get(name) ?? undefined }
}

/** What the server has granted is not lost to an error of whoever takes note of it. */
function settle(note: () => unknown): void {
  try {
    note()
  } catch {
    // Said where attempts are explained: such an error is ignored.
  }
}

function toldBy({ error, errorDescription }: TokenEndpointError): Partial<AuthenticationAnswer> {
  return { error, errorDescription }
}

/** One attempt that has been answered. */
interface Answered {
  readonly request: AuthenticatedRequest
  readonly exchange: Exchange
  readonly datedWithMs: number
}

/** The error, and by which offset another attempt is dated where that is worth it. */
function refusalOf(
  { clock }: OAuthClient,
  { request: { subject }, exchange, datedWithMs }: Answered,
  json: Readonly<Record<string, unknown>> | string,
): { readonly error: TokenEndpointError; readonly redatedMs: number | undefined } {
  const answer = exchange.answer()
  const { secrets, isDated } = exchange.sent()
  const skewMs = isDated ? skewOf(answer) : undefined
  // What was made elsewhere is dated by this machine's clock, or by another that nobody knows.
  const usedMs = exchange.attempt() === undefined ? 0 : datedWithMs
  const restMs = skewMs === undefined ? undefined : skewMs - usedMs
  const told = typeof json === 'string' ? undefined : json
  const error = tokenEndpointError(answer, told, { subject, secrets, clock, skewMs, restMs })
  const redatedMs = isDated && isClientRefusal(error.error) ? redated(answer, usedMs) : undefined
  return { error, redatedMs }
}
