import { noTelemetry, observe, type Telemetry } from '../telemetry/index.ts'
import { type AccessToken, ConfigurationError, isSameToken, isTokenText, type TokenSource } from '../token/index.ts'
import { type Awaitable, type Clock, systemClock, waitFor } from '../util/index.ts'
import { type Destination, type DestinationRules, destinationRules } from './destination.ts'
import { judge, type ResponseHead } from './verdict.ts'

/** A request that is to be made with a token. */
export interface RequestTarget {
  readonly method: string
  readonly url: URL
  readonly headers?: Headers | undefined
  readonly signal?: AbortSignal | undefined
  /** The client certificate that the transport presents; looked at when there is a token to compare it with (RFC 8705 section 3). */
  readonly certificate?: PresentedCertificate | undefined
}

/** What is seen of a client certificate. */
export interface PresentedCertificate {
  /** `x5t#S256` (RFC 8705 section 3.1). Changes when the certificate is replaced. */
  readonly thumbprint: string
}

/** One try of a protected resource request. */
export interface Attempt {
  /** What to add to the request's own headers. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Decides without I/O whether another try is worth it. The returned function prepares that try; it gives `undefined` when
   * there turns out to be no better token, so that the response stands.
   *
   * @throws ChallengeError when the token is valid but does not reach far enough (RFC 6750 section 3.1, RFC 9470).
   */
  next(response: ResponseHead): (() => Promise<Attempt | undefined>) | undefined
}

/** Puts tokens on requests, for any transport. */
export interface RequestAuthorizer {
  /** Refuses a target outside the declared origins before any token is fetched. */
  begin(target: RequestTarget): Promise<Attempt>
}

/** What an authorizer is made of. */
export interface AuthorizerOptions {
  /** Gives the source for one request. */
  readonly sourceFor: (target: RequestTarget) => Awaitable<TokenSource>
  readonly rules: DestinationRules
  readonly clock?: Clock | undefined
  readonly telemetry?: Telemetry | undefined
}

/** Makes an authorizer that sends tokens in the `Authorization` header (RFC 6750 section 2.1), and nowhere else. */
export function createAuthorizer(options: AuthorizerOptions): RequestAuthorizer {
  const { sourceFor, rules, clock = systemClock, telemetry = noTelemetry } = options
  return {
    async begin(target) {
      rules.assertAllowed(target.url)
      assertNoOtherToken(target)
      const { signal, certificate } = target
      const chosen = sourceFor(target)
      const source = 'then' in chosen ? await waitFor(Promise.resolve(chosen), signal) : chosen
      const ask = signal && { signal }
      let token = await source.getToken(ask)
      // The event loop may have stood still since the source looked at the clock. 0 is a token for one use, at once.
      if (token.expiresAt !== 0 && token.expiresAt <= clock.now()) token = await source.getToken(ask)
      // The certificate may have been replaced while the token was on its way.
      const isLate = certificate !== undefined && !isBoundTo(token, certificate)
      if (isLate) token = await source.getToken({ ...ask, rejected: token })
      assertSendable(token, certificate)
      return new TokenAttempt({ source, token, signal, certificate, telemetry, mayRenew: true })
    },
  }
}

/**
 * Puts the tokens of any source on requests to one destination.
 *
 * @throws ConfigurationError with code `destination_invalid`.
 */
export function authorizerFrom(source: TokenSource, destination: Destination): RequestAuthorizer {
  return createAuthorizer({ sourceFor: () => source, rules: destinationRules(destination, 'authorizerFrom') })
}

/** A token that is bound to a key is worth nothing without a proof, and must not go out as if it were (RFC 9449 section 7.2). */
function assertSendable(token: AccessToken, certificate: PresentedCertificate | undefined): void {
  const { tokenType, accessToken } = token
  // What the platform says about a header that cannot be sent quotes the header.
  if (!isTokenText(accessToken)) {
    throw new ConfigurationError('expected a token of printable characters, got one that no header can carry', {
      code: 'token_invalid',
    })
  }
  if (!isBoundTo(token, certificate)) {
    throw new ConfigurationError('expected a connection with the certificate that the token is bound to, got another', {
      code: 'certificate_missing',
    })
  }
  if (tokenType === 'Bearer') return
  throw new ConfigurationError(`expected a Bearer token, got a ${tokenType} token without a key to prove it with`, {
    code: 'proof_missing',
  })
}

/** A token that is bound to a certificate is good on its connections alone (RFC 8705 section 3). */
function isBoundTo(token: AccessToken, certificate: PresentedCertificate | undefined): boolean {
  return token.certificateThumbprint === undefined || token.certificateThumbprint === certificate?.thumbprint
}

/** A token is sent by one method only (RFC 6750 section 2). */
function assertNoOtherToken({ url, headers }: RequestTarget): void {
  const place = headers?.has('authorization')
    ? 'an Authorization header'
    : url.search.includes('access_token') && url.searchParams.has('access_token')
      ? 'an access_token parameter'
      : undefined
  if (place === undefined) return
  throw new ConfigurationError(`expected a request without a token of its own, got ${place}`, {
    code: 'authorization_present',
  })
}

interface AttemptState {
  readonly source: TokenSource
  readonly token: AccessToken
  readonly signal: AbortSignal | undefined
  readonly certificate: PresentedCertificate | undefined
  readonly telemetry: Telemetry
  /** The retry budget: one renewal for one call. */
  readonly mayRenew: boolean
}

class TokenAttempt implements Attempt {
  readonly headers: Readonly<Record<string, string>>
  readonly #state: AttemptState

  constructor(state: AttemptState) {
    this.#state = state
    this.headers = { authorization: `${state.token.tokenType} ${state.token.accessToken}` }
  }

  next(response: ResponseHead): (() => Promise<Attempt | undefined>) | undefined {
    const { token, mayRenew, telemetry } = this.#state
    const verdict = judge(response, token)
    if (verdict !== 'token_refused' || !mayRenew) return undefined
    return () => observe(telemetry, { name: 'resource.retry', reason: 'invalid_token' }, () => this.#withAnother())
  }

  async #withAnother(): Promise<Attempt | undefined> {
    const { source, token, signal, certificate } = this.#state
    const another = await source.getToken({ signal, rejected: token })
    assertSendable(another, certificate)
    return isSameToken(another, token)
      ? undefined
      : new TokenAttempt({ ...this.#state, token: another, mayRenew: false })
  }
}
