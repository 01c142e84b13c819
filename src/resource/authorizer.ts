import { assertProofClaims, type ProofClaims, type Prover } from '../dpop/index.ts'
import { noTelemetry, type Telemetry } from '../telemetry/index.ts'
import { ConfigurationError, type TokenSource } from '../token/index.ts'
import { type Awaitable, type Clock, createServerTime, type ServerTime, systemClock, waitFor } from '../util/index.ts'
import { type Attempt, type AttemptRequest, attemptWith, budgetAfter } from './attempt.ts'
import type { DestinationRules } from './destination.ts'
import { isBoundElsewhere, type PresentedCertificate } from './sendable.ts'

/** A request that is to be made with a token. */
export interface RequestTarget {
  readonly method: string
  readonly url: URL
  readonly headers?: Headers | undefined
  readonly signal?: AbortSignal | undefined
  /** The client certificate that the transport presents; looked at when there is a token to compare it with (RFC 8705 section 3). */
  readonly certificate?: PresentedCertificate | undefined
  /** Claims beside those of RFC 9449 section 4.2, for the proofs of this request. */
  readonly proofClaims?: ProofClaims | undefined
  /** The try whose response redirected to this request: a call that has renewed its token does not do so again. */
  readonly after?: Attempt | undefined
}

/**
 * Puts tokens on requests, for any transport. A transport begins anew for every redirect that it follows, and follows none by itself: a proof is
 * good for one request, and foreign origins get neither proof nor token.
 */
export interface RequestAuthorizer {
  /** Refuses a target outside the declared origins before any token is fetched. */
  begin(target: RequestTarget): Promise<Attempt>
}

/** What an authorizer is made of. */
export interface AuthorizerOptions {
  /** Gives the source for one request. */
  readonly sourceFor: (target: RequestTarget) => Awaitable<TokenSource>
  readonly rules: DestinationRules
  /** Proves the keys that the tokens are bound to: none for Bearer tokens, and without it no other ones are sent. */
  readonly prover?: Prover | undefined
  readonly clock?: Clock | undefined
  readonly telemetry?: Telemetry | undefined
}

/** Makes an authorizer that sends tokens in the `Authorization` header (RFC 6750 section 2.1, RFC 9449 section 7.1), and nowhere else. */
export function createAuthorizer(options: AuthorizerOptions): RequestAuthorizer {
  const { sourceFor, rules, prover, clock = systemClock, telemetry = noTelemetry } = options
  const serverTimeOf = serverTimes()
  return {
    async begin(target) {
      const origin = rules.allowedOrigin(target.url)
      assertNoOtherToken(target, prover)
      const { method, url, signal, certificate, proofClaims } = target
      if (proofClaims !== undefined) assertProofClaims(proofClaims)
      const chosen = sourceFor(target)
      const source = 'then' in chosen ? await waitFor(Promise.resolve(chosen), signal) : chosen
      const ask = signal && { signal }
      let token = await source.getToken(ask)
      // The event loop may have stood still since the source looked at the clock. 0 is a token for one use, at once.
      if (token.expiresAt !== 0 && token.expiresAt <= clock.now()) token = await source.getToken(ask)
      // The certificate may have been replaced, or the key have gone, while the token was on its way.
      if (isBoundElsewhere(token, { certificate, prover })) token = await source.getToken({ ...ask, rejected: token })
      const request: AttemptRequest = {
        method,
        url,
        origin,
        signal,
        certificate,
        proofClaims,
        source,
        prover,
        clock,
        serverTime: serverTimeOf(origin),
        telemetry,
      }
      return attemptWith(request, { token, budget: budgetAfter(target.after) })
    },
  }
}

/** What is known of the clocks of the declared origins: there are no others. */
function serverTimes(): (origin: string) => ServerTime {
  const times = new Map<string, ServerTime>()
  return (origin) => {
    const known = times.get(origin) ?? createServerTime()
    times.set(origin, known)
    return known
  }
}

/** A token is sent by one method only (RFC 6750 section 2), and with one proof (RFC 9449 section 4.3). */
function assertNoOtherToken({ url, headers }: RequestTarget, prover: Prover | undefined): void {
  const place = headers?.has('authorization')
    ? 'an Authorization header'
    : prover !== undefined && headers?.has('dpop')
      ? 'a DPoP header'
      : url.search.includes('access_token') && url.searchParams.has('access_token')
        ? 'an access_token parameter'
        : undefined
  if (place === undefined) return
  throw new ConfigurationError(`expected a request without a token of its own, got ${place}`, {
    code: 'authorization_present',
  })
}
