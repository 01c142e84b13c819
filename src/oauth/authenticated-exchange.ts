import { errorName } from '../telemetry/index.ts'
import type { TokenEndpointError } from '../token/index.ts'
import { redated, skewOf } from '../util/index.ts'
import { type AuthenticationAnswer, type ClientAuthentication, isClientRefusal } from './client-authentication/index.ts'
import {
  createExchange,
  type Engine,
  type Exchange,
  type ExchangedAnswer,
  type ExchangeTarget,
  foreign,
} from './exchange.ts'
import { readJsonAnswer } from './json-answer.ts'
import { type AttemptPlan, nextPlan, redatedWith } from './next-attempt.ts'
import type { OAuthClient } from './oauth-client.ts'
import { isProofRefusal } from './proof-of-possession.ts'
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
 * Sends a request, and sends it again where the server refused the client or its proof and there is a chance: with another key, with the
 * server's time, with its challenge or its nonce. A server authenticates the client before it looks at the grant (RFC 6749 section 5.2),
 * so that nothing was spent.
 *
 * @throws TokenEndpointError when the server refuses; TransportError when no answer comes; ConfigurationError when the client cannot
 * authenticate.
 */
export async function sendAuthenticated(client: OAuthClient, request: AuthenticatedRequest): Promise<AcceptedAnswer> {
  const { signal, acceptedStatus = 200, authentication } = request
  const { clientName, telemetry, serverTime } = client
  let plan: AttemptPlan = {
    authentication,
    datedWithMs: serverTime.offsetMs,
    hasRedated: false,
    hasAnsweredNonce: false,
  }
  await foreign(client, signal, async () => client.certificate?.ready())
  for (let attempts = 1; ; attempts++) {
    const exchange = createExchange(client, plan, request)
    await request.send(exchange)
    const answered: Answered = { request, exchange, plan }
    if (exchange.answer().status === acceptedStatus) return acceptedAnswer(client, answered)
    const { error, redatedMs } = refusalOf(client, answered, readJsonAnswer(exchange.answer()))
    const next = await planAfter(client, answered, { error, redatedMs })
    if (next === undefined || attempts === MAX_ATTEMPTS || signal.aborted) {
      const { code, clockSkewMs: skewMs = 0 } = error
      if (code === 'clock_skew') telemetry.note({ name: 'clock_skew', client: clientName, skewMs })
      throw error
    }
    if (isProofRefusal(error.error)) telemetry.note({ name: 'proof_retried', client: clientName, error: error.error })
    else telemetry.note({ name: 'authentication_retried', client: clientName, error: errorName(error) })
    plan = next
  }
}

/** Tells everybody of a refusal, and asks whether there is another chance. */
async function planAfter(
  client: OAuthClient,
  { request, exchange, plan }: Answered,
  { error, redatedMs }: Refusal,
): Promise<AttemptPlan | undefined> {
  const head = headOf(exchange)
  const hasNewNonce = learnNonce(exchange, isProofRefusal(error.error))
  const isRedated = redatedWith({ plan, redatedMs }) !== undefined
  const told: AuthenticationAnswer = { ...head, ...toldBy(error), isRedated }
  const attempt = exchange.attempt()
  const authentication = await foreign(client, request.signal, async () => attempt?.next(told))
  return nextPlan({ plan, error, redatedMs, hasNewNonce, isOwn: attempt !== undefined, authentication })
}

function learnNonce(exchange: Exchange, isDemanded: boolean): boolean {
  return exchange.proof()?.learn(headOf(exchange).header('dpop-nonce'), isDemanded) ?? false
}

function acceptedAnswer(client: OAuthClient, answered: Answered): AcceptedAnswer {
  const { exchange, plan } = answered
  const answer = exchange.answer()
  const attempt = exchange.attempt()
  const { serverTime, telemetry, clientName } = client
  learnNonce(exchange, false)
  const before = serverTime.offsetMs
  if (attempt !== undefined || exchange.proof() !== undefined) serverTime.accepted(answer, plan.datedWithMs)
  const skewMs = serverTime.offsetMs
  if (before === 0 && skewMs !== 0) telemetry.note({ name: 'clock_skew', client: clientName, skewMs })
  return {
    answer,
    refusal: (json) => refusalOf(client, answered, json).error,
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
  readonly plan: AttemptPlan
}

/** The error, and by which offset another attempt is dated where that is worth it. */
interface Refusal {
  readonly error: TokenEndpointError
  readonly redatedMs: number | undefined
}

function refusalOf(
  { clock }: OAuthClient,
  { request: { subject }, exchange, plan }: Answered,
  json: Readonly<Record<string, unknown>> | string,
): Refusal {
  const answer = exchange.answer()
  const { secrets, isDated } = exchange.sent()
  const skewMs = isDated ? skewOf(answer) : undefined
  const told = typeof json === 'string' ? undefined : json
  // What was made elsewhere is dated by this machine's clock, or by another that nobody knows; proofs are always made here.
  const isOwn = exchange.attempt() !== undefined || told?.error === 'invalid_dpop_proof'
  const usedMs = isOwn ? plan.datedWithMs : 0
  const restMs = skewMs === undefined ? undefined : skewMs - usedMs
  const error = tokenEndpointError(answer, told, { subject, secrets, clock, skewMs, restMs })
  const isDatedRefusal = isClientRefusal(error.error) || error.error === 'invalid_dpop_proof'
  return { error, redatedMs: isDated && isDatedRefusal ? redated(answer, usedMs) : undefined }
}
