import { type AssertionContext, type AssertionSource, type Fetch, JWT_BEARER } from '../oauth/index.ts'
import { ConfigurationError } from '../token/index.ts'
import { type Clock, describe, type Resolvable, resolve, systemClock, waitFor, withDeadline } from '../util/index.ts'
import { assertionCache, type Fetched } from './assertion-cache.ts'
import { assertType, checkedAssertion } from './assertion-check.ts'
import { assertionHeaders, assertionUrl, fetchAssertion, tooLate } from './assertion-endpoint.ts'
import { byteLimit } from './secret-file-rules.ts'

/** What {@link assertionFromUrl} can be told. */
export interface AssertionUrlOptions {
  /** Request headers, or a function that is asked for them before each request. */
  readonly headers?: Resolvable<Readonly<Record<string, string>>> | undefined
  /** Parameters to set in the query of the URL, or a function that knows for which client and server. */
  readonly query?: AssertionQuery | ((context: Partial<AssertionContext>) => AssertionQuery) | undefined
  /** The member of a JSON answer that holds the assertion. Default `value`. An answer that is no JSON object is the assertion. */
  readonly member?: string | undefined
  /** `client_assertion_type`. Default `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`. */
  readonly type?: string | undefined
  /** Sends the requests. Default: the global `fetch`. */
  readonly fetch?: Fetch | undefined
  /** Milliseconds until a request is given up. Default 5000. */
  readonly deadlineMs?: number | undefined
  /** The longest answer. Default 64 KiB. */
  readonly maxBytes?: number | undefined
  /** Tells whether a JWT has expired. Default: the clock of whoever asks, else the system's. */
  readonly clock?: Clock | undefined
}

/** Names and values of query parameters. */
export type AssertionQuery = Readonly<Record<string, string>>

const DEADLINE_MS = 5000
const MAX_DEADLINE_MS = 10 * 60 * 1000

/**
 * Gives the assertion that a metadata server or an issuer of workload tokens hands out for a GET request. The URL is https, or
 * http to this machine or to a link-local metadata address.
 *
 * A JWT with a `jti` is used once, and asked for anew by each call. One without is kept until 30 seconds, or a fifth of its lifetime
 * where that is less, before it expires. Calls that overlap share one request.
 *
 * @throws ConfigurationError with code `option_invalid` at once; at use with code `assertion_refused`, `client_assertion_invalid` or
 * `assertion_expired`. TransportError at use, with code `assertion_unavailable` when the server says "not now".
 */
export function assertionFromUrl(url: Resolvable<string | URL>, options: AssertionUrlOptions = {}): AssertionSource {
  const { headers = {}, query = {}, member = 'value', type = JWT_BEARER, deadlineMs = DEADLINE_MS } = options
  assertOptions(url, { ...options, type, deadlineMs })
  const maxBytes = byteLimit('assertionFromUrl', options.maxBytes)
  const cache = assertionCache()
  return async (context = {}) => {
    const { signal } = context
    const clock = options.clock ?? context.clock ?? systemClock
    signal?.throwIfAborted()
    const within = <T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> =>
      withDeadline(work, { clock, ms: deadlineMs, error: () => tooLate(deadlineMs) })
    const where = await waitFor(
      within(async () => resolve<string | URL>(url)),
      signal,
    )
    const target = assertionUrl('assertionFromUrl', where)
    const parameters = typeof query === 'function' ? query(context) : query
    for (const [name, value] of Object.entries(parameters)) target.searchParams.set(name, value)
    const fetchOne = async (late: AbortSignal): Promise<Fetched> => {
      const sent = assertionHeaders('assertionFromUrl', await resolve(headers))
      const { fetch } = options
      const text = await fetchAssertion({ url: target, headers: sent, fetch, maxBytes, member }, late)
      return checkedAssertion(text, { subject: `assertion from ${target.protocol}//${target.host}`, type, clock })
    }
    // Functions for headers are in it: whoever waits for a request that somebody else has made waits no longer than this.
    return cache.get({ key: target.href, clock, signal }, () => within(fetchOne))
  }
}

/** A mistake that shows at creation is thrown there. */
function assertOptions(url: unknown, { type, deadlineMs, headers, fetch }: AssertionUrlOptions): void {
  if (typeof url !== 'function') assertionUrl('assertionFromUrl', url)
  assertType('assertionFromUrl', type)
  if (headers !== undefined && typeof headers !== 'function') assertionHeaders('assertionFromUrl', headers)
  const isDeadline = Number.isInteger(deadlineMs) && Number(deadlineMs) >= 1 && Number(deadlineMs) <= MAX_DEADLINE_MS
  const problem = !isDeadline
    ? `deadlineMs to be a whole number from 1 to ${MAX_DEADLINE_MS}`
    : fetch !== undefined && typeof fetch !== 'function'
      ? `fetch to be a function, got ${describe(fetch)}`
      : undefined
  if (problem === undefined) return
  throw new ConfigurationError(`assertionFromUrl: expected ${problem}`, { code: 'option_invalid' })
}
