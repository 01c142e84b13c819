import { TokenEndpointError } from '../token/index.ts'
import type { Clock } from '../util/index.ts'
import type { BackChannelAnswer } from './back-channel.ts'
import { isProofRefusal } from './proof-of-possession.ts'
import { presentable } from './redaction.ts'

/** What is known of the request that was refused. */
export interface RefusedRequest {
  /** Whose request it was, for the message. */
  readonly subject: string
  readonly secrets: readonly string[]
  readonly clock: Clock
  /** How far the server's clock is ahead of this machine's, where the request proved itself with something that carries dates. */
  readonly skewMs: number | undefined
  /** What of that was not made up for when the proof was dated. */
  readonly restMs: number | undefined
}

/** RFC 6749 section 5.2 and the codes that other grants add which ask for patience, not for change. */
const PATIENCE: ReadonlySet<string> = new Set(['temporarily_unavailable', 'server_error', 'slow_down'])
/** Errors that a server answers with when it finds an assertion or a proof too old or too new. */
const DATED_REFUSALS: ReadonlySet<string> = new Set([
  'invalid_client',
  'invalid_client_attestation',
  'invalid_request',
  'invalid_dpop_proof',
  'invalid_grant',
])
/** Clocks that differ by less than this are not the reason: assertions are accepted around their time. */
const SKEW_MS = 30_000
/** A server's wish to be left alone is granted no longer than this. */
const MAX_RETRY_AFTER_MS = 60_000
/** A longer `error` is no error code. */
const MAX_CODE_LENGTH = 64

/** Turns an answer that is not a token into what is thrown. */
export function tokenEndpointError(
  answer: BackChannelAnswer,
  json: Readonly<Record<string, unknown>> | undefined,
  { subject, secrets, clock, ...skew }: RefusedRequest,
): TokenEndpointError {
  const { status, headers } = answer
  const text = (member: string): string | undefined => {
    const value = json?.[member]
    return typeof value === 'string' && value !== '' ? presentable(value, secrets) : undefined
  }
  const error = text('error')?.slice(0, MAX_CODE_LENGTH) ?? `http_${status}`
  const errorDescription = text('error_description')
  const skewMs = DATED_REFUSALS.has(error) ? large(skew.skewMs) : undefined
  const isBusy = status === 429 || status === 408
  const retryable = isBusy || status >= 500 || PATIENCE.has(error)
  const told = errorDescription === undefined ? '' : `: ${errorDescription}`
  const skewed = skewMs === undefined ? '' : `; its clock is ${Math.round(skewMs / 1000)} s ahead of this machine's`
  return new TokenEndpointError(`${subject}: expected success, got ${error} (status ${status})${told}${skewed}`, {
    code: codeFor({ error, status, retryable, isSkewed: skewMs !== undefined && large(skew.restMs) !== undefined }),
    error,
    errorDescription,
    errorUri: text('error_uri'),
    status,
    retryable,
    retryAt: retryable ? retryAt(headers, clock) : undefined,
    clockSkewMs: skewMs,
  })
}

interface Refusal {
  readonly error: string
  readonly status: number
  readonly retryable: boolean
  readonly isSkewed: boolean
}

function codeFor({ error, status, retryable, isSkewed }: Refusal): string {
  if (isSkewed) return 'clock_skew'
  if (status === 429 || error === 'slow_down') return 'rate_limited'
  if (retryable) return 'server_unavailable'
  if (isProofRefusal(error)) return 'proof_refused'
  if (error === 'invalid_client' || error === 'unauthorized_client' || status === 401) return 'client_refused'
  return 'request_refused'
}

function large(skewMs: number | undefined): number | undefined {
  return skewMs !== undefined && Math.abs(skewMs) >= SKEW_MS ? skewMs : undefined
}

/** `Retry-After` (RFC 9110 section 10.2.3), seconds or a date, within limits; anything else is no answer. */
function retryAt(headers: Headers, clock: Clock): number | undefined {
  const value = headers.get('retry-after')?.trim()
  if (value === undefined) return undefined
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - clock.wallTime()
  return ms > 0 ? clock.now() + Math.min(ms, MAX_RETRY_AFTER_MS) : undefined
}
