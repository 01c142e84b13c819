import type { ProofClaims, Prover } from '../dpop/index.ts'
import { observe, type Telemetry } from '../telemetry/index.ts'
import { type AccessToken, ChallengeError, isSameToken, type TokenSource } from '../token/index.ts'
import { type Awaitable, waitFor } from '../util/index.ts'
import { type DatedProof, type ProofTimes, proveDated, type Remedy } from './dated-proof.ts'
import { assertSendable, type PresentedCertificate } from './sendable.ts'
import { judge, nonceInVain, type ResponseHead } from './verdict.ts'

/** One try of a protected resource request. */
export interface Attempt {
  /** What to add to the request's own headers. */
  readonly headers: Readonly<Record<string, string>>
  /**
   * Takes note of a response, and decides without I/O whether another try is worth it. The returned function prepares that try; it gives
   * `undefined` when there turns out to be no better token, so that the response stands. Called for every response: nonces come with
   * any of them (RFC 9449 section 9).
   *
   * @throws ChallengeError when the token is valid but does not reach far enough (RFC 6750 section 3.1, RFC 9470), when the server goes
   * on asking for a nonce, or does not take the algorithm of the key (RFC 9449 section 7.1).
   */
  next(response: ResponseHead): (() => Promise<Attempt | undefined>) | undefined
}

/** What may happen once: the renewal in a call, over all its redirects; the others in what it sends to one URL. */
export interface RetryBudget {
  readonly mayRenew: boolean
  /** Thumbprint of the key whose nonce was answered last: nonces are given to keys, and a token of another key may come in between. */
  readonly answeredNonceFor: string | undefined
  readonly mayRedate: boolean
}

/** A request, and what its tries are made with. */
export interface AttemptRequest extends ProofTimes {
  readonly method: string
  readonly url: URL
  readonly origin: string
  readonly signal: AbortSignal | undefined
  readonly certificate: PresentedCertificate | undefined
  readonly proofClaims: ProofClaims | undefined
  readonly source: TokenSource
  readonly prover: Prover | undefined
  readonly telemetry: Telemetry
}

/** What a try has of its own. */
export interface AttemptState {
  readonly token: AccessToken
  readonly budget: RetryBudget
}

const FULL_BUDGET: RetryBudget = { mayRenew: true, answeredNonceFor: undefined, mayRedate: true }

/** What is left behind a redirect, which a nonce may change on as well as anywhere. */
export function budgetAfter(attempt: Attempt | undefined): RetryBudget {
  return attempt instanceof TokenAttempt ? { ...FULL_BUDGET, mayRenew: attempt.mayRenew } : FULL_BUDGET
}

/**
 * Makes a try: at once for a Bearer token, with a proof for one that is bound to a key (RFC 9449 section 7.1).
 *
 * @throws ConfigurationError when the token cannot be sent; what the signer throws.
 */
export function attemptWith(
  request: AttemptRequest,
  state: AttemptState,
  datedWithMs?: number | undefined,
): Awaitable<Attempt> {
  const { prover, method, url, origin, proofClaims, signal, clock, serverTime } = request
  const { token } = state
  assertSendable(token, request)
  if (prover === undefined || token.jkt === undefined) return new TokenAttempt(request, state)
  const proved = { jkt: token.jkt, method, url, origin, token, claims: proofClaims, signal }
  const proof = proveDated(prover, proved, { clock, serverTime, datedWithMs })
  if ('answered' in proof) return new TokenAttempt(request, state, proof)
  // A store of nonces or a signer may take its time; whoever gives up does not wait for them.
  return waitFor(Promise.resolve(proof), signal).then((made) => new TokenAttempt(request, state, made))
}

class TokenAttempt implements Attempt {
  readonly headers: Readonly<Record<string, string>>
  readonly #request: AttemptRequest
  readonly #state: AttemptState
  readonly #proof: DatedProof | undefined

  constructor(request: AttemptRequest, state: AttemptState, proof?: DatedProof) {
    this.#request = request
    this.#state = state
    this.#proof = proof
    const authorization = `${state.token.tokenType} ${state.token.accessToken}`
    this.headers = proof === undefined ? { authorization } : { authorization, dpop: proof.value }
  }

  get mayRenew(): boolean {
    return this.#state.budget.mayRenew
  }

  next(response: ResponseHead): (() => Promise<Attempt | undefined>) | undefined {
    const { token, budget } = this.#state
    const verdict = judge(response, token, this.#proof)
    const isProofRefused = verdict === 'nonce_wanted' || verdict === 'proof_refused'
    const remedy = this.#proof?.answered(response, isProofRefused)
    if (verdict instanceof ChallengeError) throw verdict
    if (verdict === 'token_refused' && budget.mayRenew)
      return this.#observed('invalid_token', () => this.#withAnother())
    if (!isProofRefused || remedy === undefined) return undefined
    if (verdict === 'proof_refused') {
      const another = this.#provedAgain(remedy)
      return another && this.#observed('invalid_dpop_proof', another)
    }
    // Another time is no answer to a demand for a nonce.
    const another = this.#provedAgain({ ...remedy, redatedMs: undefined })
    if (another === undefined) throw nonceInVain(response.status)
    return this.#observed('use_dpop_nonce', another)
  }

  /** The same request with the same token, where another proof has a chance. */
  #provedAgain({ hasNewNonce, redatedMs }: Remedy): (() => Promise<Attempt>) | undefined {
    const { token, budget } = this.#state
    const answersNonce = hasNewNonce && budget.answeredNonceFor !== token.jkt
    const redates = redatedMs !== undefined && budget.mayRedate
    if (!answersNonce && !redates) return undefined
    const left = {
      ...budget,
      answeredNonceFor: answersNonce ? token.jkt : budget.answeredNonceFor,
      mayRedate: budget.mayRedate && !redates,
    }
    return async () => attemptWith(this.#request, { token, budget: left }, redates ? redatedMs : undefined)
  }

  async #withAnother(): Promise<Attempt | undefined> {
    const { source, signal } = this.#request
    const { token, budget } = this.#state
    const another = await source.getToken({ signal, rejected: token })
    assertSendable(another, this.#request)
    if (isSameToken(another, token)) return undefined
    return attemptWith(this.#request, { token: another, budget: { ...budget, mayRenew: false } })
  }

  #observed(
    reason: 'invalid_token' | 'use_dpop_nonce' | 'invalid_dpop_proof',
    work: () => Promise<Attempt | undefined>,
  ): () => Promise<Attempt | undefined> {
    return () => observe(this.#request.telemetry, { name: 'resource.retry', reason }, work)
  }
}
